import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** How a run under torchrun ended. */
export interface Ended {
  readonly code: number | null;
  /** Standard output and error of all ranks. */
  readonly text: string;
}

/** What is run by each rank, and how. */
export interface Ranks {
  readonly size: number;
  readonly restarts?: number;
  /** The words after `node`. */
  readonly words: readonly string[];
  /** Given the process of torchrun while it runs. */
  readonly during?: (pid: number, text: () => string) => Promise<void>;
}

/** Runs `node words…` as so many ranks. */
export async function torchrun({ size, restarts = 0, words, during }: Ranks): Promise<Ended> {
  const own = ["--no-python", "--nproc-per-node", String(size), "--max-restarts", String(restarts)];
  const child = spawn("torchrun", [...own, process.execPath, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (text += String(bytes)));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  await Promise.all([ended, during?.(child.pid as number, () => text)]);
  return { code: await ended, text };
}

/** The processes below one whose command line holds a text, on Linux. */
export function processesBelow(parent: number, words: string): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const parents = new Map(all.map((pid) => [Number(pid), parentOf(pid)]));
  const isBelow = (pid: number): boolean => {
    const above = parents.get(pid);
    return above === parent || (above !== undefined && above > 1 && isBelow(above));
  };
  return [...parents.keys()].filter((pid) => isBelow(pid) && commandOf(pid).includes(words));
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined; // it has ended
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
