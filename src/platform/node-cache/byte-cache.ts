import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ByteCache, CacheEntry } from "../../io/files/byte-cache.ts";
import { fail, LoraError } from "../../util/fail.ts";
import { draftOf, removeDeadDrafts } from "../node-drafts.ts";
import { fileStat, noneIfMissing, readRange } from "../node-files.ts";
import { makeFolder } from "../node-folders/make-folder.ts";
import { noteUse, usersOf } from "./cache-use.ts";

/** Of what the cache makes, nobody else may read what it is or that it is there; folders that were there stay as they are. */
export const PRIVATE_FOLDER = 0o700;
const PRIVATE_FILE = 0o600;

/**
 * A download cache in a folder: `WEBGPU_LORA_CACHE`, else `webgpu-lora` in `XDG_CACHE_HOME` or `~/.cache`.
 * An entry is one file, named by the hash of its key. Safe for several processes at once without a lock: they write
 * the same bytes at the same offsets, and never beyond the file's end, so its size is the length of what is there.
 */
export function nodeByteCache(dir = defaultCacheFolder()): ByteCache {
  return {
    open: async (key) => {
      await makePrivateFolder(dir);
      noteUse(dir, hashed(key));
      return fileEntry(join(dir, hashed(key)));
    },
    recall: (key) => readFile(noteFile(dir, key), "utf8").catch(noneIfMissing),
    async remember(key, note) {
      const file = noteFile(dir, key);
      if ((await this.recall(key)) === note) return utimes(file, new Date(), new Date()).catch(noneIfMissing);
      await makePrivateFolder(dir);
      await writePrivateFile(file, note);
    },
  };
}

/** Folders from which this process has removed what dead ones left. */
const cleared = new Set<string>();

/** Makes a folder in the user's cache, where there is none; removes what killed processes have left in it. */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    makeFolder(path, PRIVATE_FOLDER);
  } catch (error) {
    explain(path)(error as NodeJS.ErrnoException);
  }
  if (!cleared.has(path)) clear(path);
  cleared.add(path);
}

function clear(folder: string): void {
  try {
    removeDeadDrafts(folder);
    usersOf(folder); // which forgets the dead
  } catch {
    // What is there can be read nevertheless.
  }
}

/** Replaces a text of the user's cache: other processes read the old one or the new one. */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  const draft = draftOf(file);
  try {
    await writeFile(draft, text, { mode: PRIVATE_FILE });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    explain(file)(error as NodeJS.ErrnoException);
  }
}

/** What the name of a note ends in; before it is the name of its entry. */
export const NOTE_ENDING = ".note";

function hashed(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function noteFile(dir: string, key: string): string {
  return join(dir, `${hashed(key)}${NOTE_ENDING}`);
}

/** Where downloads are kept: `WEBGPU_LORA_CACHE`, else a folder of the user's cache. */
export function defaultCacheFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { WEBGPU_LORA_CACHE, XDG_CACHE_HOME } = environment;
  return WEBGPU_LORA_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "webgpu-lora");
}

/** The bytes of a file. */
export function fileEntry(file: string): CacheEntry {
  return {
    length: async () => (await fileStat(file))?.size ?? 0,
    write: (offset, bytes) => writePiece(file, offset, bytes).catch(explain(file)),
    read: (start, end) => readRange(file, start, end),
    async stamp() {
      const found = await stat(file, { bigint: true }).catch(noneIfMissing);
      return found ? `${found.size} ${found.mtimeNs}` : "";
    },
    discard: () => rm(file, { force: true }),
  };
}

async function writePiece(file: string, offset: number, bytes: Uint8Array): Promise<void> {
  // Only the start may create the file: a later piece of a discarded entry would leave a hole before it.
  const flags = constants.O_WRONLY | (offset === 0 ? constants.O_CREAT : 0);
  const handle = await open(file, flags, PRIVATE_FILE);
  try {
    await checkNoHole(file, handle, offset);
    await writeAll(handle, bytes, offset);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Another process may have discarded the entry and begun it anew: a piece beyond what is there would leave a hole. */
async function checkNoHole(file: string, handle: FileHandle, offset: number): Promise<void> {
  const { size } = await handle.stat();
  if (offset <= size) return;
  const message = `another process began this download anew: ${size} bytes are there, expected ${offset}`;
  fail(file, message, "run it again: it goes on from there");
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}

const FULL =
  "free some space: webgpu-lora cache list shows what is kept; or set WEBGPU_LORA_CACHE to a folder elsewhere";
const FORBIDDEN = "set WEBGPU_LORA_CACHE to a folder that you may write to";
const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: FULL,
  EDQUOT: FULL,
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  EROFS: FORBIDDEN,
  ENOTDIR: FORBIDDEN,
  ENOENT: "another process removed it meanwhile: try again",
};

/** Rethrows what the system says about a file of the cache, with the remedy. */
function explain(file: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    if (error instanceof LoraError) throw error;
    fail(file, `cannot be written: ${error.message}`, REMEDIES[error.code ?? ""]);
  };
}
