/**
 * One process at a time writes into a folder. The lock is a folder in it, `.webgpu-lora.lock`, that holds one empty file
 * named after its holder. It appears with that file by a rename, which the system refuses where the target has something
 * in it: of two processes one wins. A dead holder's file is removed by its name, which no later holder has, and the empty
 * lock is taken as if it were not there; so nobody removes the lock of a process that took it meanwhile. Neither links
 * nor locks of the system are needed, which network file systems and Windows have in other ways or not at all.
 */
import { lstatSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail } from "../../util/fail.ts";
import { draftOf, namesIn, removeDeadDrafts } from "../node-drafts.ts";
import { isRunning, nameOfProcess, type ProcessId, processOfName, thisProcess } from "../node-process.ts";
import { OWN_PREFIX, removeIfEmpty } from "./folder-changes.ts";

const LOCK = `${OWN_PREFIX}lock`;

/** More processes than will ever begin at once; each attempt fails only because another one got further. */
const ATTEMPTS = 100;

/**
 * Takes the lock of a folder that is there.
 * @returns the file that says that this process holds it; where it is gone, so is the lock
 * @throws LoraError where another process holds it; what the system says where the folder is gone or can't be written to
 */
export function takeLock(folder: string): string {
  const lock = join(folder, LOCK);
  const name = nameOfProcess(thisProcess());
  const draft = draftOf(lock);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      makeDraft(draft, name);
      const now = statSync(join(draft, name)).mtimeMs; // by the clock of the file system
      if (hasMoved(draft, lock)) return join(lock, name);
      const holder = runningHolder(folder, now);
      if (holder) refuse(folder, holder);
      evict(lock, now);
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return fail(folder, `${lock} cannot be taken`, "if no other process writes into this folder, remove it");
}

function makeDraft(draft: string, name: string): void {
  try {
    mkdirSync(draft);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // of the last attempt
  }
  writeFileSync(join(draft, name), "");
}

/** What systems say where a folder is to take the place of one that isn't empty, or of a file. */
const OCCUPIED = ["ENOTEMPTY", "EEXIST", "ENOTDIR", "EPERM", "EACCES", "EBUSY"];

function hasMoved(draft: string, lock: string): boolean {
  try {
    renameSync(draft, lock);
    return true;
  } catch (error) {
    if (OCCUPIED.includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** Gives up the lock that a file stands for. */
export function dropLock(owner: string): void {
  rmSync(owner, { force: true });
  removeIfEmpty(dirname(owner));
}

/**
 * The process that holds a folder's lock and still runs.
 * @param now milliseconds since 1970
 */
export function runningHolder(folder: string, now = Date.now()): ProcessId | undefined {
  return owners(join(folder, LOCK), now).find(({ isAlive }) => isAlive)?.holder;
}

function owners(lock: string, now: number): { name: string; holder: ProcessId; isAlive: boolean }[] {
  return namesIn(lock).flatMap((name) => {
    const holder = processOfName(name);
    const seen = lstatSync(join(lock, name), { throwIfNoEntry: false })?.mtimeMs;
    if (!holder || seen === undefined) return [];
    return [{ name, holder, isAlive: isRunning(holder, now - seen) }];
  });
}

/** Empties a lock of dead processes; whoever is quicker has done so already, or has it. */
function evict(lock: string, now: number): void {
  for (const { name, isAlive } of owners(lock, now)) {
    if (!isAlive) rmSync(join(lock, name), { force: true });
  }
  removeIfEmpty(lock);
}

/** Removes what processes have left that were killed before they could take the lock. */
export function removeDrafts(folder: string): void {
  removeDeadDrafts(folder, `${LOCK}.`);
}

function refuse(folder: string, { pid, host }: ProcessId): never {
  const help = "wait until it has ended, stop it, or choose another folder";
  const otherwise = `if it is known to have ended, remove ${join(folder, LOCK)}`;
  fail(folder, `process ${pid} on ${host} is writing into this folder`, `${help}; ${otherwise}`);
}
