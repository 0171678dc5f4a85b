import { randomUUID } from "node:crypto";
import { copyFile, type FileHandle, link, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type FileContent, type FolderWriter, leavesFolder } from "../io/files/files.ts";
import { fail, failAll } from "../util/fail.ts";

/**
 * Writes files into a folder on disk, which is made if need be. Each goes to a temporary file beside its target, is
 * synced, and takes its place by a rename when all are written; a failed rename puts the former files back. A file is
 * thus always whole. A text that is there already stays: saving an adapter again replaces its weights alone, so that even
 * a process that is killed leaves the former adapter or the new one. Where several files change, being killed or a power
 * cut between two renames can leave new files next to old ones.
 * @throws LoraError where the disk is full or the folder cannot be written to; it is then as it was
 */
export function folderWriter(path: string): FolderWriter {
  return {
    write: async (files) => {
      failAll(path, await nameProblems(path, [...files.keys()]));
      const run = randomUUID();
      const places: Place[] = [];
      try {
        for (const [name, content] of files) {
          if (await isThere(join(path, name), content)) continue;
          const place = placeOf(join(path, name), run);
          places.push(place);
          await writeTemporary(place, content).catch(explain(place.target));
        }
        await replaceAll(places);
        for (const folder of new Set(places.map(({ target }) => dirname(target)))) await syncFolder(folder);
      } finally {
        await Promise.all(places.flatMap(({ fresh, former }) => [fresh, former].map(removeIfThere)));
      }
    },
  };
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

/** Moves every new file to its target; after a failure moves the former ones back. */
async function replaceAll(places: readonly Place[]): Promise<void> {
  const replaced: Place[] = [];
  try {
    for (const place of places) {
      await keepFormer(place);
      await rename(place.fresh, place.target);
      replaced.push(place);
    }
  } catch (error) {
    for (const place of replaced) await restore(place);
    fail(places[0]!.target, `could not be replaced: ${String(error)}`, "the folder is as it was before");
  }
}

async function keepFormer({ target, former }: Place): Promise<void> {
  // A second name costs nothing; file systems without hard links take a copy.
  await link(target, former).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") await copyFile(target, former);
  });
}

async function restore({ target, former }: Place): Promise<void> {
  await rename(former, target).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    await rm(target, { force: true });
  });
}

async function removeIfThere(file: string): Promise<void> {
  await rm(file, { force: true });
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
