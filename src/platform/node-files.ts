import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ByteCache, CacheEntry } from "../io/files/byte-cache.ts";
import { checkRange, type FileSource, failMissing, leavesFolder } from "../io/files/files.ts";
import { hubFiles, parseModelReference, type RemoteOptions, urlFiles } from "../io/files/hub.ts";
import { fail } from "../util/fail.ts";

/** Longest single read: Node refuses 2 GiB and more. */
const MAX_READ_BYTES = 2 ** 30;

/** The files of a folder on disk. Links may lead elsewhere (the hub's own cache consists of links); names may not. */
export function folderFiles(path: string): FileSource {
  return {
    label: path,
    size: async (name) => (await fileStat(inside(path, name)))?.size,
    read: async (name, start, end) => {
      const file = inside(path, name);
      const size = (await fileStat(file))?.size ?? failMissing(path, name);
      checkRange({ label: path, name, size, start, end });
      return readRange(file, start, end);
    },
    list: async () => {
      const entries = await readdir(path, { withFileTypes: true });
      return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
    },
  };
}

function inside(path: string, name: string): string {
  if (leavesFolder(name)) fail(path, `the file name ${JSON.stringify(name)} leaves the folder`);
  return join(path, name);
}

async function fileStat(file: string): Promise<{ size: number } | undefined> {
  const found = await stat(file).catch(noneIfMissing);
  return found?.isFile() ? found : undefined;
}

function noneIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
  throw error;
}

async function readRange(file: string, start: number, end: number): Promise<Uint8Array> {
  const handle = await open(file, "r");
  try {
    const bytes = new Uint8Array(end - start);
    let at = 0;
    while (at < bytes.length) {
      const length = Math.min(bytes.length - at, MAX_READ_BYTES);
      const { bytesRead } = await handle.read(bytes, at, length, start + at);
      if (bytesRead === 0) fail(file, `the file ends at byte ${start + at}, expected at least ${end}`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

/**
 * A download cache in a folder: `WEBGPU_LORA_CACHE`, else `webgpu-lora` in `XDG_CACHE_HOME` or `~/.cache`.
 * An entry is one file, named by the hash of its key. Safe for several processes at once without a lock: they write
 * the same bytes at the same offsets, and never beyond the file's end, so its size is the length of what is there.
 */
export function nodeByteCache(dir = defaultCacheFolder()): ByteCache {
  return {
    open: async (key) => {
      await mkdir(dir, { recursive: true });
      return fileEntry(join(dir, createHash("sha256").update(key).digest("hex")));
    },
  };
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

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}

/** Where {@link resolveModelFiles} looks, beyond the reference itself. */
export interface ResolveOptions extends Pick<RemoteOptions, "fetch" | "delay"> {
  /** Branch, tag or commit of a hub repository. */
  readonly revision?: string | undefined;
  /** `HF_TOKEN` by default. */
  readonly token?: string | undefined;
  /** `HF_ENDPOINT` by default. */
  readonly endpoint?: string | undefined;
  /** {@link nodeByteCache} by default. */
  readonly cache?: ByteCache;
}

/**
 * The files that a model reference names: a folder that exists, else a hub id `owner/name[@revision]` or an address.
 * Throws where it is none of them. The token goes to the hub alone, never to another address.
 */
export async function resolveModelFiles(
  reference: string,
  options: ResolveOptions = {},
): Promise<FileSource> {
  if (await isFolder(reference)) return folderFiles(reference);
  const { revision, token = process.env.HF_TOKEN, endpoint = process.env.HF_ENDPOINT } = options;
  const cache = options.cache ?? nodeByteCache();
  const remote = { fetch: options.fetch, delay: options.delay, cache };
  const parsed = parseModelReference(reference);
  if (parsed.kind === "folder") return failNoFolder(parsed.path);
  if (parsed.kind === "url") return urlFiles({ ...remote, url: parsed.url });
  if (revision && parsed.revision && revision !== parsed.revision) {
    fail("model", `${reference} names the revision ${parsed.revision}, but ${revision} was asked for`);
  }
  return hubFiles({
    ...remote,
    repo: parsed.repo,
    revision: parsed.revision ?? revision,
    token: token || undefined,
    endpoint: endpoint || undefined,
  });
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

async function failNoFolder(path: string): Promise<never> {
  const isFile = (await fileStat(path)) !== undefined;
  if (isFile) fail(path, "is a file, expected the folder of a model", "give the folder that holds it");
  return fail(path, "no such folder", "check the path; a model on the hub is written owner/name[@revision]");
}
