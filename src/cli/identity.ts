import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { relative } from "node:path";
import type { TrainingTask } from "../data/task-names.ts";
import type { Hasher } from "../io/files/digest.ts";
import { beginFile } from "../load/base-digest.ts";
import { nodeHash } from "../platform/node-hash.ts";
import { findTables } from "./data-files.ts";
import { findImageFolders, listImages } from "./image-folders.ts";

/** SHA-256 of bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  const hash = nodeHash("sha256");
  hash.update(bytes);
  return hash.hex();
}

/** What tells the rows of all these data sets from others; what can be read once only has no digest. */
export async function dataDigest(paths: readonly string[], task: TrainingTask): Promise<string> {
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
async function filesOfData(path: string, task: TrainingTask): Promise<string[]> {
  if (task !== "image-classification") return [(await findTables(path)).train];
  const { train } = await findImageFolders(path);
  const { images } = await listImages(train);
  return images.map((image) => image.path);
}

async function hashWhole(hash: Hasher, path: string, name: string, size: number): Promise<void> {
  beginFile(hash, name, size);
  for await (const bytes of createReadStream(path)) hash.update(bytes as Uint8Array);
}
