import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ByteCache, CacheEntry } from "../io/files/byte-cache.ts";
import { fail } from "../util/fail.ts";
import { fileStat, noneIfMissing, readRange } from "./node-files.ts";
import { makeFolder } from "./node-make-folder.ts";

/**
 * A download cache in a folder: `WEBGPU_LORA_CACHE`, else `webgpu-lora` in `XDG_CACHE_HOME` or `~/.cache`.
 * An entry is one file, named by the hash of its key. Safe for several processes at once without a lock: they write
 * the same bytes at the same offsets, and never beyond the file's end, so its size is the length of what is there.
 */
export function nodeByteCache(dir = defaultCacheFolder()): ByteCache {
  return {
    open: async (key) => {
      makeFolder(dir);
      return fileEntry(join(dir, hashed(key)));
    },
    recall: (key) => readFile(noteFile(dir, key), "utf8").catch(noneIfMissing),
    async remember(key, note) {
      if ((await this.recall(key)) === note) return;
      makeFolder(dir);
      const file = noteFile(dir, key);
      const draft = `${file}.${process.pid}`;
      await writeFile(draft, note);
      await rename(draft, file);
    },
  };
}

function hashed(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function noteFile(dir: string, key: string): string {
  return join(dir, `${hashed(key)}.note`);
}

/** Where downloads are kept: `WEBGPU_LORA_CACHE`, else a folder of the user's cache. */
export function defaultCacheFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { WEBGPU_LORA_CACHE, XDG_CACHE_HOME } = environment;
  return WEBGPU_LORA_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "webgpu-lora");
}

function fileEntry(file: string): CacheEntry {
  return {
    length: async () => (await fileStat(file))?.size ?? 0,
    write: async (offset, bytes) => {
      // Only the start may create the file: a later piece of a discarded entry would leave a hole before it.
      const flags = constants.O_WRONLY | (offset === 0 ? constants.O_CREAT : 0);
      const handle = await open(file, flags);
      try {
        await checkNoHole(file, handle, offset);
        await writeAll(handle, bytes, offset);
        await handle.datasync();
      } finally {
        await handle.close();
      }
    },
    read: (start, end) => readRange(file, start, end),
    discard: () => rm(file, { force: true }),
  };
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
