// Files and folders that are made under another name and take their place by a rename. What a process has left that was
// killed before that is known by its name, and goes with the next start that uses the folder.
import { randomUUID } from "node:crypto";
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isRunning, nameOfProcess, processOfName, thisProcess } from "./node-process.ts";

/** A name beside a path that nobody else uses, and that says whose it is. */
export function draftOf(path: string): string {
  return `${path}.${nameOfProcess(thisProcess())}-${randomUUID().slice(0, 8)}`;
}

/**
 * Removes the drafts of dead processes from a folder: those of paths whose names begin with `start`.
 * @throws what the system says where one cannot be removed
 */
export function removeDeadDrafts(folder: string, start = ""): void {
  for (const name of namesIn(folder).filter((name) => name.startsWith(start))) {
    const draft = join(folder, name);
    const owner = processOfName(/\.(\d+-\d+-[0-9a-f]{12}-[\w.-]+)$/.exec(name)?.[1] ?? "");
    const seen = owner && lstatSync(draft, { throwIfNoEntry: false })?.mtimeMs;
    if (!owner || seen === undefined || isRunning(owner, Date.now() - seen)) continue;
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Names in a folder; none where it is missing or is a file. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
