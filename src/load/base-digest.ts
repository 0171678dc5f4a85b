import { type Hash, type Hasher, hashFile } from "../io/files/digest.ts";
import { type FileSource, readJson } from "../io/files/files.ts";
import { isObject } from "../util/json.ts";

/** What tells a model from every other: the digest of its configuration and weights, with their names. */
export async function baseDigest(files: FileSource, makeHash: Hash): Promise<string> {
  const hash = makeHash("sha256");
  for (const name of ["config.json", ...(await weightFiles(files))]) {
    const size = await files.size(name);
    if (size === undefined) continue;
    beginFile(hash, name, size);
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

/** Puts a file's name and size before its content, so that no two lists of files look alike. */
export function beginFile(hash: Hasher, name: string, size: number): void {
  hash.update(new TextEncoder().encode(`${name}\0${size}\0`));
}
