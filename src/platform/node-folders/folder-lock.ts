import { existsSync, realpathSync, utimesSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fail, LoraError, tryTo } from "../../util/fail.ts";
import { SIGN_OF_LIFE_MILLISECONDS } from "../node-process.ts";
import { isChanging, removeIfEmpty, settleFolder } from "./folder-changes.ts";
import { dropLock, removeDrafts, runningHolder, takeLock } from "./lock-file.ts";
import { failFolder, makeFolder, whyNoFolder } from "./make-folder.ts";

/** How often a folder is looked for that another process may just have removed, having made it. */
const ATTEMPTS = 100;

/** A folder into which no other process writes. */
export interface FolderLock {
  /** Runs a task when all others of this process in this folder have ended. */
  inTurn<T>(task: () => Promise<T>): Promise<T>;
  /** @throws LoraError where another process has taken the lock since, having heard nothing of this one for minutes */
  check(): void;
  /** Ends this use; with the last one the lock goes, and so do folders that were made for it, if they are empty. */
  release(): void;
}

interface Held {
  /** Its real path. */
  readonly folder: string;
  /** The file that says who holds it. */
  owner: string;
  /** Folders that were made for it, the deepest first. */
  readonly made: readonly string[];
  readonly signs: NodeJS.Timeout;
  users: number;
  turn: Promise<unknown>;
}

/** What this process holds, by real path. */
const held = new Map<string, Held>();

/** Folders that runs of this process have claimed. */
const claimed = new Set<string>();

/**
 * Keeps other processes, and other runs of this one, from a folder, which is made if need be.
 * @returns what leaves it; undefined where another one has it
 * @throws LoraError where the folder cannot be made or written to
 */
export async function claimFolder(folder: string): Promise<(() => void) | undefined> {
  if (claimed.has(folder)) return undefined;
  const lock = lockFolder(folder);
  claimed.add(folder);
  return () => {
    claimed.delete(folder);
    lock.release();
  };
}

/**
 * Locks a folder, which is made if need be, and clears up what dead processes have left in it. Several uses in one
 * process share the lock. It goes with the process, unless that is killed.
 * @throws LoraError where another process holds it, or the folder cannot be made or written to
 */
export function lockFolder(folder: string): FolderLock {
  const lock = share(folder);
  let isReleased = false;
  return {
    inTurn(task) {
      const result = lock.turn.then(task);
      lock.turn = result.catch(() => {});
      return result;
    },
    check() {
      if (existsSync(lock.owner)) return;
      const message = "its lock is gone: another process has taken the folder, or it was removed";
      fail(folder, message, "save again, or to another folder");
    },
    release() {
      if (!isReleased && --lock.users === 0) letGo(lock);
      isReleased = true;
    },
  };
}

function share(folder: string): Held {
  for (let attempt = 1; ; attempt++) {
    let made: readonly string[] = [];
    try {
      made = makeFolder(folder);
      const path = realpathSync.native(folder);
      const lock = heldAlready(path) ?? hold(path, made);
      lock.users++;
      return lock;
    } catch (error) {
      made.forEach(removeIfEmpty);
      if (error instanceof LoraError) throw error;
      // Another process has removed the folder, which it had made.
      const isGone = (error as NodeJS.ErrnoException).code === "ENOENT" && !whyNoFolder(folder);
      if (!isGone || attempt === ATTEMPTS) failFolder(folder, error as Error);
    }
  }
}

function hold(folder: string, made: readonly string[]): Held {
  const lock: Held = {
    folder,
    owner: takeLock(folder),
    made,
    signs: setInterval(() => giveSignOfLife(lock), SIGN_OF_LIFE_MILLISECONDS).unref(),
    users: 0,
    turn: Promise.resolve(),
  };
  held.set(folder, lock);
  if (held.size === 1) watchEnd();
  try {
    removeDrafts(folder);
    settleFolder(folder);
  } catch (error) {
    letGo(lock);
    throw error;
  }
  return lock;
}

/** What is held already. Where somebody has removed the folder meanwhile, it is locked anew. */
function heldAlready(folder: string): Held | undefined {
  const lock = held.get(folder);
  if (lock && !existsSync(lock.owner)) lock.owner = takeLock(folder);
  return lock;
}

/** How long a save may take from its first rename to the last before a reader gives up, and how often it looks. */
const PATIENCE = { milliseconds: 10_000, pause: 20 };

/**
 * Makes sure that all files of a folder are of one state before they are read: waits for a save that is putting them in
 * their places, and undoes one that was cut off there.
 * @throws LoraError where that takes too long, or the folder cannot be written to
 */
export async function awaitOneState(folder: string): Promise<void> {
  for (let waited = 0; isChanging(folder); waited += PATIENCE.pause) {
    if (!runningHolder(folder) || waited > PATIENCE.milliseconds) return settleInterrupted(folder);
    await delay(PATIENCE.pause);
  }
}

function settleInterrupted(folder: string): void {
  let reason = "another save to it failed";
  try {
    lockFolder(folder).release();
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  if (isChanging(folder)) fail(folder, `a save was cut off here, and cannot be undone: ${reason}`);
}

function giveSignOfLife({ owner }: Held): void {
  const now = new Date();
  tryTo(() => utimesSync(owner, now, now)); // where the folder is gone, or the disk full, check() will tell
}

/**
 * Gives up a lock. Does as much as it can: the process may be about to end, and the next one that takes the lock sees to
 * the rest.
 */
function letGo({ folder, owner, made, signs }: Held): void {
  clearInterval(signs);
  held.delete(folder);
  if (held.size === 0) unwatchEnd();
  tryTo(() => dropLock(owner));
  made.forEach(removeIfEmpty);
}

/** The ends of a process that it can see coming. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK"] as const;

function watchEnd(): void {
  process.on("exit", letGoOfAll);
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function unwatchEnd(): void {
  process.off("exit", letGoOfAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

/** Clears up and ends the process as the signal would have without this, unless somebody else sees to the signal. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  letGoOfAll();
  process.kill(process.pid, signal);
}

/** Also ends what a save was in the middle of. */
function letGoOfAll(): void {
  for (const lock of held.values()) {
    if (existsSync(lock.owner)) tryTo(() => settleFolder(lock.folder));
    letGo(lock);
  }
}
