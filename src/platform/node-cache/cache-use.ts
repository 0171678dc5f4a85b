// Which entries of a download cache are in use, so that nobody removes them from under a running process.
import { appendFileSync, lstatSync, mkdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { tryTo } from "../../util/fail.ts";
import { namesIn } from "../node-drafts.ts";
import {
  isRunning,
  nameOfProcess,
  type ProcessId,
  processOfName,
  SIGN_OF_LIFE_MILLISECONDS,
  thisProcess,
} from "../node-process.ts";

/** Holds a file for each process, named after it, with the entries that it has opened, one a line. */
export const USE_FOLDER = "in-use";

/** What this process has noted, by the file that says so. */
const noted = new Map<string, Set<string>>();

/** Notes that this process uses an entry until it ends. A cache that cannot be written to has nothing removed, either. */
export function noteUse(cache: string, entry: string): void {
  const folder = join(cache, USE_FOLDER);
  const file = join(folder, nameOfProcess(thisProcess()));
  const entries = noted.get(file) ?? new Set();
  if (entries.has(entry)) return;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    appendFileSync(file, `${entry}\n`, { mode: 0o600 });
  } catch {
    return;
  }
  if (noted.size === 0) watchEnd();
  noted.set(file, entries.add(entry));
}

/** The running processes that use entries of a cache, by entry. What dead ones have noted goes. */
export function usersOf(cache: string): Map<string, ProcessId> {
  const folder = join(cache, USE_FOLDER);
  const users = new Map<string, ProcessId>();
  for (const name of namesIn(folder)) {
    const file = join(folder, name);
    const process = processOfName(name);
    const seen = lstatSync(file, { throwIfNoEntry: false })?.mtimeMs;
    if (!process || seen === undefined) continue;
    if (!isRunning(process, Date.now() - seen)) rmSync(file, { force: true });
    else for (const entry of readFileSync(file, "utf8").split("\n")) users.set(entry, process);
  }
  return users;
}

/**
 * Gives signs of life for those who cannot look at this process, and removes its notes when it ends. What fails does so
 * because the folder is gone, which is as good.
 */
function watchEnd(): void {
  const signs = setInterval(() => {
    const now = new Date();
    for (const file of noted.keys()) tryTo(() => utimesSync(file, now, now));
  }, SIGN_OF_LIFE_MILLISECONDS);
  signs.unref();
  process.on("exit", () => {
    for (const file of noted.keys()) tryTo(() => rmSync(file, { force: true }));
  });
}
