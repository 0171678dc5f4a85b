import { randomUUID } from "node:crypto";
import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { type FileContent, type FolderWriter, leavesFolder } from "../io/files/files.ts";
import { fail, failAll } from "../util/fail.ts";

/**
 * Writes files into a folder on disk, which is made if need be. Each goes to a temporary file beside its target, is
 * synced, and takes its place by a rename when all are written; a failed rename puts the former files back. A file is
 * thus always whole. A text that is there already stays. Where one file changes, as where an adapter is saved again,
 * even a process that is killed leaves the former state or the new one. Where several change, the first file is away
 * meanwhile: being killed or a power cut then leaves a folder that nobody reads, never new files next to old ones.
 * @throws LoraError where the disk is full or the folder cannot be written to; it is then as it was
 */
export function folderWriter(path: string): FolderWriter {
  return {
    write: async (files, superseded = () => false) => {
      const [first] = files.keys();
      if (first === undefined) return [];
      failAll(path, await nameProblems(path, [...files.keys()]));
      const run = randomUUID();
      const leftOver = (await namesIn(path)).filter((name) => !files.has(name) && superseded(name));
      const places: Place[] = [];
      try {
        for (const [name, content] of files) {
          if (await isThere(join(path, name), content)) continue;
          const place = placeOf(join(path, name), run);
          places.push(place);
          await writeTemporary(place, content).catch(explain(place.target));
        }
        const removed = leftOver.map((name) => placeOf(join(path, name), run));
        await replaceAll({ written: places, removed, first: placeOf(join(path, first), run) });
        const folders = [...places, ...removed].map(({ target }) => dirname(target));
        for (const folder of new Set(folders)) await syncFolder(folder);
        return leftOver;
      } finally {
        for (const { fresh } of places) await rm(fresh, { force: true });
      }
    },
  };
}

/** Files of a folder and its direct sub-folders, by names with `/`. */
async function namesIn(path: string): Promise<string[]> {
  const filesOf = async (folder: string) => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []); // missing, or no right to read
    const names = (isFolder: boolean) =>
      entries.filter((entry) => entry.isDirectory() === isFolder).map(({ name }) => name);
    return { files: names(false), folders: names(true) };
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

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: "free some space, or choose a folder on another disk",
  EDQUOT: "free some space, or choose a folder on another disk",
  EACCES: "choose a folder that you may write to",
  EPERM: "choose a folder that you may write to",
  EROFS: "choose a folder that you may write to",
};

/** Rethrows what the system says with the file and the remedy; what the content's own source throws stays as it is. */
function explain(target: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    if (error.syscall === undefined) throw error;
    fail(target, `cannot be written: ${error.message}`, REMEDIES[error.code ?? ""]);
  };
}

/** A target file, its new content and, while files are replaced, its former content. */
interface Place {
  readonly target: string;
  readonly fresh: string;
  readonly former: string;
}

function placeOf(target: string, run: string): Place {
  return { target, fresh: `${target}.${run}.tmp`, former: `${target}.${run}.old` };
}

async function nameProblems(path: string, names: readonly string[]): Promise<string[]> {
  const outside = names.filter(leavesFolder);
  const problems = outside.map((name) => `the file name ${JSON.stringify(name)} leaves the folder`);
  for (const name of names.filter((name) => !leavesFolder(name))) {
    const found = await stat(join(path, name)).catch(() => undefined);
    if (found?.isDirectory()) problems.push(`${name} is a folder, so no file can take its place`);
  }
  return problems;
}

async function writeTemporary({ target, fresh }: Place, content: FileContent): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const handle = await open(fresh, "wx");
  try {
    await writeContent(handle, content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeContent(handle: FileHandle, content: FileContent): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array) return handle.writeFile(content);
  for await (const chunk of content) await handle.writeFile(chunk);
}

/** What changes in a folder. */
interface Changes {
  readonly written: readonly Place[];
  readonly removed: readonly Place[];
  /** The file that is away while several others change. */
  readonly first: Place;
}

/** Moves every new file to its target and the superseded ones away; after a failure moves the former ones back. */
async function replaceAll({ written, removed, first }: Changes): Promise<void> {
  const touched: Place[] = [];
  const others = written.filter(({ target }) => target !== first.target);
  try {
    if (written.length + removed.length > 1) {
      touched.push(first);
      await moveIfThere(first.target, first.former);
      await syncFolder(dirname(first.target));
    }
    for (const place of removed) {
      touched.push(place);
      await moveIfThere(place.target, place.former);
    }
    for (const place of others) {
      await keepFormer(place);
      touched.push(place);
      await rename(place.fresh, place.target);
    }
    await bringBack(first, others.length < written.length, touched);
  } catch (error) {
    await restoreAll(touched);
    const [{ target } = first] = [...written, ...removed];
    fail(target, `could not be replaced: ${String(error)}`, "the folder is as it was before");
  }
  for (const { former } of touched) await rm(former, { force: true });
}

/** Puts the first file in its place: the new one, or the one that was there. */
async function bringBack(first: Place, isNew: boolean, touched: Place[]): Promise<void> {
  const isAway = touched.includes(first);
  if (!isNew) return isAway ? moveIfThere(first.former, first.target) : undefined;
  if (!isAway) {
    await keepFormer(first);
    touched.push(first);
  }
  await rename(first.fresh, first.target);
}

async function moveIfThere(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}

async function keepFormer({ target, former }: Place): Promise<void> {
  // A second name costs nothing; file systems without hard links take a copy.
  await link(target, former).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") await copyFile(target, former);
  });
}

/** Puts former files back, each in spite of what happens to others; what cannot be put back stays beside its place. */
async function restoreAll(places: readonly Place[]): Promise<void> {
  const stranded: string[] = [];
  for (const place of places.toReversed()) {
    await restore(place).catch(() =>
      stranded.push(`${place.target} could not be put back: it is ${place.former}`),
    );
  }
  failAll("folder", stranded, "rename these files by hand");
}

async function restore({ target, former }: Place): Promise<void> {
  await rename(former, target).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    await rm(target, { force: true });
  });
  await rm(former, { force: true }); // renaming onto another name of the same file leaves both
}

/** Makes the renames survive a power cut; where folders cannot be opened (Windows), the system sees to it. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  try {
    await handle?.sync();
  } catch {
    // Some network file systems refuse to sync a folder; the files themselves are synced.
  } finally {
    await handle?.close();
  }
}
