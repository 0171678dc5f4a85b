import { lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ADAPTER_WEIGHTS } from "../load/adapter.ts";
import { placeProblem, removeIfEmpty } from "../platform/node-folders/folder-changes.ts";
import { type FolderLock, lockFolder } from "../platform/node-folders/folder-lock.ts";
import { fail, failAll, LoraError } from "../util/fail.ts";

/** What a command is going to write into its output folder. */
export interface Output {
  readonly files?: readonly string[];
  /** Whether folders for checkpoints come, too. */
  readonly checkpoints?: boolean;
}

/**
 * Takes a folder for the output of this process until its end, and proves that everything can be written there: hours of
 * training must not end in an error. The folder is made, and goes again where nothing comes to lie in it. What killed
 * processes have left in it and in the folders of their checkpoints is cleared up.
 * @throws LoraError where another process writes into it, or that says all that is in the way
 */
export function claimOutputFolder(folder: string, { files = [], checkpoints = false }: Output = {}): void {
  lockOutput(folder);
  const inTheWay = files.flatMap((name) => placeProblem(folder, name) ?? []);
  const unusable = clearCheckpoints(folder);
  failAll(`output_dir: ${folder}`, [...inTheWay, ...(checkpoints ? unusable : [])], "choose another folder");
}

/**
 * Checks that a folder can be written to, or made, and leaves it as it was.
 * @throws LoraError that says why not
 */
export function checkWritable(folder: string): void {
  lockOutput(folder).release();
}

function lockOutput(folder: string): FolderLock {
  try {
    return lockFolder(folder);
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    return fail("output_dir", error.message);
  }
}

/** Clears up after killed runs; returns what is wrong with each folder of a checkpoint where that cannot be done. */
function clearCheckpoints(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => /^checkpoint-\d+$/.test(name));
  return names.flatMap((name) => {
    const path = join(folder, name);
    const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
    if (!isFolder) return [`${name} is no folder`];
    try {
      lockFolder(path).release();
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
    removeIfEmpty(path); // one that was made for a checkpoint which never came
    return [];
  });
}

/** Whether an adapter is in a folder already, or a link in its place. */
export function holdsAdapter(folder: string): boolean {
  return ADAPTER_WEIGHTS.some(
    (name) => lstatSync(join(folder, name), { throwIfNoEntry: false }) !== undefined,
  );
}
