// Folders that are made, and why the system lets nobody do so or write to one.
import { lstatSync, mkdirSync, readlinkSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fail } from "../../util/fail.ts";

/**
 * Makes a folder and those above it, by the system's mode or the given one; returns what had to be made, the deepest
 * first. Unlike Node's own `recursive`, which tries for ever where the system says ENOENT for a folder that cannot be
 * (`/proc/x`), it throws what the system says.
 */
export function makeFolder(folder: string, mode?: number): string[] {
  const path = resolve(folder);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [];
  const above = dirname(path) === path ? [] : makeFolder(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
    return [path, ...above];
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === "EEXIST" && statSync(path).isDirectory();
    if (isThere) return above; // another process was quicker
    throw error;
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: "free some space, or choose a folder on another disk",
  EDQUOT: "free some space, or choose a folder on another disk",
  EACCES: "choose a folder that you may write to",
  EPERM: "choose a folder that you may write to",
  EROFS: "choose a folder that you may write to",
};

/** What to do where the system refuses to write. */
export function writingRemedy({ code }: NodeJS.ErrnoException): string | undefined {
  return REMEDIES[code ?? ""];
}

/** @throws LoraError that says why a folder can't be made or written to */
export function failFolder(folder: string, error: NodeJS.ErrnoException): never {
  const reason = whyNoFolder(folder);
  if (reason !== undefined)
    fail(folder, `cannot be made: ${reason}`, "choose another folder, or remove that");
  fail(folder, `cannot be written to: ${error.message}`, writingRemedy(error) ?? "choose another folder");
}

/** What lies in the way of a folder; undefined where nothing does, or that can't be seen. */
export function whyNoFolder(folder: string): string | undefined {
  const path = resolve(folder);
  const parent = dirname(path);
  const above = parent === path ? undefined : whyNoFolder(parent);
  return above ?? whyNone(path);
}

function whyNone(path: string): string | undefined {
  try {
    const found = lstatSync(path);
    if (!found.isSymbolicLink()) return found.isDirectory() ? undefined : `${path} is a file`;
    const target = statSync(path, { throwIfNoEntry: false });
    if (!target) return `${path} is a link to ${readlinkSync(path)}, which is not there`;
    return target.isDirectory() ? undefined : `${path} is a link to a file`;
  } catch {
    return undefined;
  }
}
