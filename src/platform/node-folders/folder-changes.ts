/**
 * How several files of a folder change together, so that whoever reads it at any moment, even after `kill -9` or a power
 * cut, finds all former files, all new ones, or a folder without its first file (the configuration, without which
 * nobody reads the others). No system can replace several files at once, so what happens is written down first:
 *
 * 1. The new files are written to `.webgpu-lora.save/new-0`, `new-1` … in the folder and synced.
 * 2. `plan.json` beside them lists what will change. From here on the save is under way.
 * 3. The first file moves away to `old-0`, then the others; the new ones move to their places, the first one last.
 * 4. Where all are in their places, the save is done: plan and folder go.
 *
 * Every step is a rename and can be turned round: {@link settleFolder} looks which files of the plan lie where and moves
 * them back, unless the last step was reached. It ends a save, undoes one that fails, and clears up after a process that
 * was killed, when the next one takes the folder's lock; it may itself be killed at any point. Where one file changes,
 * one rename does it, and there is no plan. It holds on any file system where a rename within a folder happens or not.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { leavesFolder } from "../../io/files/files.ts";
import { fail } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { failFolder } from "./make-folder.ts";

/** What the names begin with that belong to no file of the user. */
export const OWN_PREFIX = ".webgpu-lora.";

const STAGING = `${OWN_PREFIX}save`;
const PLAN = "plan.json";

/** A file of a folder, which gets a new content or goes. */
export interface Change {
  /** With `/` where it lies in a sub-folder. */
  readonly name: string;
  readonly isNew: boolean;
}

/** Where the new content of the i-th change is to be written. */
export function stagedFile(folder: string, i: number): string {
  return join(folder, STAGING, `new-${i}`);
}

function formerFile(folder: string, i: number): string {
  return join(folder, STAGING, `old-${i}`);
}

/** Makes the folder for {@link stagedFile}. @throws LoraError where the system lets nobody write there */
export function makeStaging(folder: string): void {
  try {
    mkdirSync(join(folder, STAGING));
  } catch (error) {
    failFolder(folder, error as NodeJS.ErrnoException);
  }
}

/** Whether files of two states may lie in a folder. */
export function isChanging(folder: string): boolean {
  return existsSync(join(folder, STAGING, PLAN));
}

/**
 * Puts all staged files in their places and removes those that go. What fails leaves it to {@link settleFolder}, which
 * must be called in any case.
 * @param changes the first one is the file without which nobody reads the others; several begin with a new one
 * @throws LoraError with the first file that cannot be replaced
 */
export function applyChanges(folder: string, changes: readonly Change[]): void {
  const folders = new Set([folder, ...changes.map(({ name }) => dirname(join(folder, name)))]);
  const [first, ...others] = changes.map((change, i) => ({ ...change, i }));
  if (!first) return;
  if (others.length > 0) {
    writePlan(folder, changes);
    moveAway(folder, first);
    syncFolder(folder); // before any other file changes
    for (const change of others) moveAway(folder, change);
    for (const change of others.filter(({ isNew }) => isNew)) place(folder, change);
    folders.forEach(syncFolder); // before the first one is back
  }
  if (first.isNew) place(folder, first);
  else moveAway(folder, first);
  folders.forEach(syncFolder);
}

function moveAway(folder: string, { name, i }: Change & { readonly i: number }): void {
  replacing(join(folder, name), (target) => moveFile(target, formerFile(folder, i)));
}

function place(folder: string, { name, i }: Change & { readonly i: number }): void {
  replacing(join(folder, name), (target) => {
    mkdirSync(dirname(target), { recursive: true });
    renameSync(stagedFile(folder, i), target);
  });
}

function replacing(target: string, action: (target: string) => void): void {
  try {
    action(target);
  } catch (error) {
    fail(target, `could not be replaced: ${String(error)}`, "the folder is as it was before");
  }
}

/**
 * Gives a folder that was left in the middle of a save one state, and removes what the save has left. To be called by
 * the holder of the folder's lock alone.
 * @throws LoraError where files cannot be moved, or the plan is none of ours
 */
export function settleFolder(folder: string): void {
  const staging = join(folder, STAGING);
  const found = statOf(staging);
  if (!found) return;
  if (!found.isDirectory()) fail(staging, "is no folder", "remove it");
  const plan = readPlan(folder);
  if (plan) {
    const isDone = plan.every(({ isNew }, i) => !isNew || !statOf(stagedFile(folder, i)));
    if (!isDone) undo(folder, plan);
    rmSync(join(staging, PLAN)); // first: without a plan, what is staged means nothing
  }
  rmSync(staging, { recursive: true, force: true });
}

/** Moves what was moved back again, the first file last. */
function undo(folder: string, plan: readonly Change[]): void {
  for (const [i, { name, isNew }] of [...plan.entries()].reverse()) {
    const target = join(folder, name);
    try {
      const isPlaced = isNew && !statOf(stagedFile(folder, i));
      if (isPlaced) moveFile(target, stagedFile(folder, i));
      moveFile(formerFile(folder, i), target);
    } catch (error) {
      const where = `what was there before is ${formerFile(folder, i)}`;
      fail(target, `a save was cut off and cannot be undone: ${String(error)}`, where);
    }
    if (i === 1) syncFolder(folder);
    if (name.includes("/")) removeIfEmpty(dirname(target));
  }
  syncFolder(folder);
}

/** A file that is not there stays away; a folder is never moved: it is the user's. */
function moveFile(from: string, to: string): void {
  const found = statOf(from);
  if (found?.isDirectory()) throw new Error(`${from} is a folder`);
  if (found) renameSync(from, to);
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Removes a folder, unless something is in it. */
export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is in use, or gone already.
  }
}

function writePlan(folder: string, changes: readonly Change[]): void {
  const staging = join(folder, STAGING);
  const draft = join(staging, `${PLAN}.new`);
  writeFileSync(draft, JSON.stringify(changes));
  withOpen(draft, "r+", fsyncSync);
  renameSync(draft, join(staging, PLAN));
  syncFolder(staging);
  syncFolder(folder);
}

/** The plan of a save; undefined where nothing has been moved. */
function readPlan(folder: string): Change[] | undefined {
  const file = join(folder, STAGING, PLAN);
  if (!existsSync(file)) return undefined;
  const changes = parsePlan(readFileSync(file, "utf8"));
  const isOurs = changes?.every(({ name }) => nameProblem(folder, name) === undefined);
  if (changes && isOurs) return changes;
  return fail(file, "lists no files of this folder", `look into ${dirname(file)}, and remove it`);
}

function parsePlan(text: string): Change[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return undefined;
    const isChange = (entry: unknown): entry is Change =>
      isObject(entry) && typeof entry.name === "string" && typeof entry.isNew === "boolean";
    return value.every(isChange) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Why no file of this name may be written. */
export function placeProblem(folder: string, name: string): string | undefined {
  const problem = nameProblem(folder, name);
  if (problem !== undefined || !statOf(join(folder, name))?.isDirectory()) return problem;
  return `${name} is a folder, so no file can take its place`;
}

/** Why a name stands for no file below a folder; the name may come from somebody else, in a plan in the folder. */
function nameProblem(folder: string, name: string): string | undefined {
  if (leavesFolder(name)) return `the file name ${JSON.stringify(name)} leaves the folder`;
  if (name.startsWith(OWN_PREFIX)) return `names with ${OWN_PREFIX} are kept for saves under way`;
  const parts = name.split("/").slice(0, -1);
  const parents = parts.map((_, i) => parts.slice(0, i + 1).join("/"));
  const found = (parent: string) => statOf(join(folder, parent));
  const wrong = parents.find((parent) => found(parent)?.isDirectory() === false);
  return wrong === undefined ? undefined : `${wrong} is no folder, so ${name} cannot lie in it`;
}

/** Makes renames in a folder survive a power cut; where folders cannot be opened (Windows), the system sees to it. */
function syncFolder(folder: string): void {
  try {
    withOpen(folder, "r", fsyncSync);
  } catch {
    // Some network file systems refuse to sync a folder; the files themselves are synced.
  }
}

function withOpen(path: string, flags: string, action: (descriptor: number) => void): void {
  const descriptor = openSync(path, flags);
  try {
    action(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
