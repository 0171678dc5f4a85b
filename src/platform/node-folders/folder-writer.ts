import { type FileHandle, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileContent, FolderWriter, Superseded } from "../../io/files/files.ts";
import { fail, failAll } from "../../util/fail.ts";
import {
  applyChanges,
  type Change,
  makeStaging,
  OWN_PREFIX,
  placeProblem,
  settleFolder,
  stagedFile,
} from "./folder-changes.ts";
import { lockFolder } from "./folder-lock.ts";
import { writingRemedy } from "./make-folder.ts";

/**
 * Writes files into a folder on disk, which is made if need be and locked meanwhile. All are written beside their places
 * and synced before the first one takes its place, and the folder changes as {@link applyChanges} says: whatever ends the
 * process, the next reader finds the former state or the new one. A text that is there already stays.
 * @throws LoraError where another process writes into the folder, the disk is full or the folder cannot be written to; it
 * is then as it was
 */
export function folderWriter(path: string): FolderWriter {
  return {
    write: async (files, superseded = () => false) => {
      if (files.size === 0) return [];
      const lock = lockFolder(path);
      try {
        return await lock.inTurn(() => replaceFiles(path, files, superseded, lock.check));
      } finally {
        lock.release();
      }
    },
  };
}

async function replaceFiles(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  superseded: Superseded,
  checkLock: () => void,
): Promise<string[]> {
  failAll(
    path,
    [...files.keys()].flatMap((name) => placeProblem(path, name) ?? []),
  );
  const leftOver = (await namesIn(path)).filter((name) => !files.has(name) && superseded(name));
  const changes = await changesOf(path, files, leftOver);
  if (changes.length === 0) return leftOver;
  makeStaging(path);
  try {
    for (const [i, { name, isNew }] of changes.entries()) {
      const content = files.get(name);
      if (isNew && content !== undefined) await writeStaged(stagedFile(path, i), join(path, name), content);
    }
    checkLock();
    applyChanges(path, changes);
  } finally {
    checkLock();
    settleFolder(path);
  }
  return leftOver;
}

/** What is to be done. The first file takes part wherever several change, for it is away meanwhile. */
async function changesOf(
  path: string,
  files: ReadonlyMap<string, FileContent>,
  leftOver: readonly string[],
): Promise<Change[]> {
  const isSame = [...files].map(([name, content]) => isThere(join(path, name), content));
  const same = await Promise.all(isSame);
  const [first, ...others] = [...files.keys()].map((name, i) => ({ name, isNew: true, stays: same[i] }));
  const later = [
    ...others.filter(({ stays }) => !stays),
    ...leftOver.map((name) => ({ name, isNew: false })),
  ];
  const isAlone = first?.stays ? later.length < 2 : false;
  const all = isAlone || !first ? later : [first, ...later];
  return all.map(({ name, isNew }) => ({ name, isNew }));
}

/** Files of a folder and its direct sub-folders, by names with `/`. */
async function namesIn(path: string): Promise<string[]> {
  const filesOf = async (folder: string) => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []); // missing, or no right to read
    const names = (isFolder: boolean) =>
      entries.filter((entry) => entry.isDirectory() === isFolder).map(({ name }) => name);
    return { files: names(false), folders: names(true).filter((name) => !name.startsWith(OWN_PREFIX)) };
  };
  const { files, folders } = await filesOf(path);
  const below = folders.map(async (folder) =>
    (await filesOf(join(path, folder))).files.map((name) => `${folder}/${name}`),
  );
  return [...files, ...(await Promise.all(below)).flat()];
}

/** Whether a file holds this text already. */
async function isThere(file: string, content: FileContent): Promise<boolean> {
  return typeof content === "string" && (await readFile(file, "utf8").catch(() => undefined)) === content;
}

async function writeStaged(file: string, target: string, content: FileContent): Promise<void> {
  try {
    const handle = await open(file, "wx");
    try {
      await writeContent(handle, content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    explain(target, error as NodeJS.ErrnoException);
  }
}

/** Rethrows what the system says with the file and the remedy; what the content's own source throws stays as it is. */
function explain(target: string, error: NodeJS.ErrnoException): never {
  if (error.syscall === undefined) throw error;
  fail(target, `cannot be written: ${error.message}`, writingRemedy(error));
}

async function writeContent(handle: FileHandle, content: FileContent): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array) return handle.writeFile(content);
  for await (const chunk of content) await handle.writeFile(chunk);
}
