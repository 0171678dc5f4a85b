import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { relative } from "node:path";
import { type Hasher, hashFile } from "../io/files/digest.ts";
import type { FileSource } from "../io/files/files.ts";
import { readJson } from "../io/files/files.ts";
import { nodeHash } from "../platform/node-hash.ts";
import { isObject } from "../util/json.ts";
import { findTables } from "./data-files.ts";
import { findImageFolders, listImages } from "./image-folders.ts";
import type { CliTask } from "./task-names.ts";

/** SHA-256 of bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  const hash = nodeHash("sha256");
  hash.update(bytes);
  return hash.hex();
}

/** What tells a model from every other: the digest of its configuration and weights, with their names. */
export async function baseDigest(files: FileSource): Promise<string> {
  const hash = nodeHash("sha256");
  for (const name of ["config.json", ...(await weightFiles(files))]) {
    const size = await files.size(name);
    if (size === undefined) continue;
    begin(hash, name, size);
    const read = (start: number, end: number) => files.read(name, start, end);
    await hashFile({ read }, size, { update: (bytes) => hash.update(bytes), result: () => "sha256:" });
  }
  return `sha256:${hash.hex()}`;
}

const INDEX = "model.safetensors.index.json";

async function weightFiles(files: FileSource): Promise<string[]> {
  if (files.list) {
    const names = await files.list();
    return names.filter((name) => /\.(safetensors|bin|gguf)$/.test(name)).sort();
  }
  if ((await files.size(INDEX)) === undefined) return ["model.safetensors"];
  const index = await readJson(files, INDEX);
  const map = isObject(index) && isObject(index.weight_map) ? Object.values(index.weight_map) : [];
  return [...new Set(map.map(String))].sort();
}

/** What tells the rows of all these data sets from others; what can be read once only has no digest. */
export async function dataDigest(paths: readonly string[], task: CliTask): Promise<string> {
  const hash = nodeHash("sha256");
  for (const path of paths) {
    for (const file of await filesOfData(path, task)) {
      const found = await stat(file);
      if (!found.isFile()) return "none";
      await hashWhole(hash, file, relative(path, file), found.size);
    }
  }
  return `sha256:${hash.hex()}`;
}

/** The files that are learnt from; a folder may hold others. */
async function filesOfData(path: string, task: CliTask): Promise<string[]> {
  if (task !== "image-classification") return [(await findTables(path)).train];
  const { train } = await findImageFolders(path);
  const { images } = await listImages(train);
  return images.map((image) => image.path);
}

async function hashWhole(hash: Hasher, path: string, name: string, size: number): Promise<void> {
  begin(hash, name, size);
  for await (const bytes of createReadStream(path)) hash.update(bytes as Uint8Array);
}

function begin(hash: Hasher, name: string, size: number): void {
  hash.update(new TextEncoder().encode(`${name}\0${size}\0`));
}
