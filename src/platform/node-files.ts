import { type FileHandle, lstat, open, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ByteRange } from "../data/files/data-file.ts";
import { checkRange, type FileSource, failMissing, leavesFolder } from "../io/files/files.ts";
import { fail } from "../util/fail.ts";
import { OWN_PREFIX } from "./node-folders/folder-changes.ts";
import { awaitOneState } from "./node-folders/folder-lock.ts";

const AGAIN = "read it again when nothing writes to it";

/** Longest single read: Node refuses 2 GiB and more. */
const MAX_READ_BYTES = 2 ** 30;

/**
 * The files of a folder on disk. Links may lead elsewhere (the hub's own cache consists of links); names may not. What is
 * read is of one state: a save that was cut off in the middle is undone, and a change after the first look is refused.
 */
export function folderFiles(path: string): FileSource {
  const look = stateKeeper(path);
  return {
    label: path,
    size: async (name) => (await look(inside(path, name)))?.size,
    read: async (name, start, end) => {
      const file = inside(path, name);
      const seen = (await look(file)) ?? failMissing({ label: path }, name);
      checkRange({ label: path, name, size: seen.size, start, end });
      return readRange(file, start, end, seen);
    },
    list: async (folder) => {
      const isThere = folder === undefined || (await isFolder(inside(path, folder)));
      if (!isThere) return [];
      const entries = await readdir(join(path, folder ?? ""), { withFileTypes: true });
      return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
    },
    folders: async () => {
      const entries = await readdir(path, { withFileTypes: true });
      const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
      return folders.filter((name) => !name.startsWith(OWN_PREFIX));
    },
  };
}

/** Looks at files of a folder, one after another, and refuses where one that it has seen is another one now. */
function stateKeeper(folder: string): (file: string) => Promise<FileState | undefined> {
  const seen = new Map<string, FileState>();
  const look = async (file: string) => {
    const found = await fileStat(file);
    const known = seen.get(file);
    if (known) requireSame(file, known, found);
    else {
      // A save that changes several files changes one first that was read before this one, which may be new already.
      for (const [other, state] of seen) requireSame(other, state, await fileStat(other));
      if (found) seen.set(file, found);
    }
    return found;
  };
  let oneState: Promise<void> | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  return (file) => {
    const looking = turn.then(async () => {
      oneState ??= awaitOneState(folder);
      await oneState;
      return look(file);
    });
    turn = looking.catch(() => {});
    return looking;
  };
}

/** What tells a file from another one that has taken its place. */
export interface FileState {
  readonly size: number;
  readonly ino: number;
  readonly mtimeMs: number;
}

function requireSame(file: string, before: FileState, now: FileState | undefined): void {
  const { size, ino, mtimeMs } = before;
  if (size === now?.size && ino === now.ino && mtimeMs === now.mtimeMs) return;
  fail(file, "has changed since it was first looked at", AGAIN);
}

function inside(path: string, name: string): string {
  if (leavesFolder(name))
    fail(path, `the file name ${JSON.stringify(name)} leaves the folder`, "name a file below it");
  return join(path, name);
}

/** Size of a file; undefined where there is none. Throws for a link that leads nowhere: its file is missing, not absent. */
export async function fileStat(file: string): Promise<FileState | undefined> {
  const found = await stat(file).catch(noneIfMissing);
  if (!found && (await lstat(file).catch(noneIfMissing))?.isSymbolicLink()) {
    const help = "download the file again (in the hub's cache: hf download REPOSITORY), or remove the link";
    fail(file, `is a link to ${await readlink(file)}, which is not there`, help);
  }
  return found?.isFile() ? found : undefined;
}

/** Whether there is a folder at a path. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** For a `catch`: undefined where there is no such file, else the error again. */
export function noneIfMissing(error: unknown): undefined {
  const { code } = error as { readonly code?: unknown };
  if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
}

/** The bytes [start, end) of a file, which may have to be one that was seen before. */
export async function readRange(
  file: string,
  start: number,
  end: number,
  seen?: FileState,
): Promise<Uint8Array> {
  const [bytes] = await readRanges(file, [{ start, end }], seen);
  return bytes as Uint8Array;
}

/** The same of several parts, for which the file is opened once. */
export async function readRanges(
  file: string,
  ranges: readonly ByteRange[],
  seen?: FileState,
): Promise<Uint8Array[]> {
  const handle = await open(file, "r").catch((error) => {
    if (seen && noneIfMissing(error) === undefined) requireSame(file, seen, undefined);
    throw error;
  });
  try {
    if (seen) requireSame(file, seen, await handle.stat());
    const parts: Uint8Array[] = [];
    for (const range of ranges) parts.push(await readPart(handle, file, range));
    return parts;
  } finally {
    await handle.close();
  }
}

async function readPart(handle: FileHandle, file: string, { start, end }: ByteRange): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  let at = 0;
  while (at < bytes.length) {
    const length = Math.min(bytes.length - at, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(bytes, at, length, start + at);
    if (bytesRead === 0) fail(file, `the file ends at byte ${start + at}, expected at least ${end}`, AGAIN);
    at += bytesRead;
  }
  return bytes;
}
