import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ByteCache } from "../../io/files/byte-cache.ts";
import { readSealNote, type SealNote } from "../../io/files/cache-notes.ts";
import { type Digest, digestOf, etagDigest } from "../../io/files/digest.ts";
import { type FileSource, leavesFolder } from "../../io/files/files.ts";
import { fail } from "../../util/fail.ts";
import { noneIfMissing } from "../node-files.ts";
import { nodeHash } from "../node-hash.ts";
import { fileEntry } from "./byte-cache.ts";

/** How files are checked. */
export interface CheckOptions {
  /** Keeps what was checked; nothing is kept in the folder itself, which is huggingface_hub's. */
  readonly cache?: ByteCache | undefined;
  /** Whether what was checked before is checked again. */
  readonly verify?: boolean | undefined;
}

/**
 * The files of a folder in Hugging Face's cache, each checked before it is first read: it is a link to a file in `blobs`
 * that is named after its content's digest. What was checked before is known by its size and time. Files that are no such
 * links, as on systems without links, are read as they are.
 */
export function checkedFiles(files: FileSource, folder: string, options: CheckOptions): FileSource {
  const checks = new Map<string, Promise<void>>();
  return {
    ...files,
    async read(name, start, end) {
      const check = checks.get(name) ?? checkFile(files, folder, name, options);
      checks.set(name, check);
      await check;
      return files.read(name, start, end);
    },
  };
}

/** Whether a folder has a file that is named after its content. */
export async function hasDigests(files: FileSource, folder: string): Promise<boolean> {
  const names = (await files.list?.()) ?? [];
  const blobs = await Promise.all(names.map((name) => blobOf(folder, name)));
  return blobs.some((blob) => blob !== undefined);
}

async function checkFile(
  { label }: FileSource,
  folder: string,
  name: string,
  { cache, verify = false }: CheckOptions,
): Promise<void> {
  const blob = leavesFolder(name) ? undefined : await blobOf(folder, name);
  if (!blob) return;
  const { path, digest } = blob;
  const entry = fileEntry(path);
  const stamp = await entry.stamp();
  const known = readSealNote(await cache?.recall(path))?.seal;
  if (!verify && known?.digest === digest && known.stamp === stamp) return;
  const found = await digestOf(entry, await entry.length(), digest, nodeHash);
  if (found !== digest) {
    const help =
      "remove that file, and download it again while the hub can be reached: hf download REPOSITORY";
    fail(`${label}/${name}`, `${path} is damaged: it has ${found}, and its name says ${digest}`, help);
  }
  const note: SealNote = { source: label, name, seal: { digest, stamp } };
  await cache?.remember(path, JSON.stringify(note)).catch(() => {}); // else it is checked each time
}

/** The file in `blobs` that a file is a link to, and the digest that is its name. */
async function blobOf(folder: string, name: string): Promise<{ path: string; digest: Digest } | undefined> {
  const path = await realpath(join(folder, name)).catch(noneIfMissing);
  if (path === undefined || basename(dirname(path)) !== "blobs") return undefined;
  const digest = etagDigest(basename(path));
  return digest && { path, digest };
}
