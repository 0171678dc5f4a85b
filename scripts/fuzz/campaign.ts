import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finding, Progress, Work } from "./child.ts";

/** A child that stays at one input for as long is stopped, ms: the machine may be busy. */
export const STUCK_MS = 5000;

/** A child may take this long to begin, ms. */
const START_MS = 60_000;

/** Stands for the seed of a child that has not begun. */
const NOT_BEGUN = -1;

/** Heap of a child, MiB: an input that needs more ends the process. */
const HEAP_MIB = 400;

/** What a busy machine or the inputs before may be to blame for: such inputs are read once more, alone. */
const DOUBTFUL: readonly Finding["kind"][] = ["slow", "memory", "hang", "died", "rejection"];

/** What came of the inputs of one target. */
export interface Confirmed extends Pick<Progress, "accepted" | "refused"> {
  readonly target: string;
  readonly inputs: number;
  readonly seconds: number;
  readonly findings: readonly Finding[];
  /** Findings that were none when their inputs were read alone. */
  readonly withdrawn: number;
}

/** What a child process sends. */
export interface ChildMessage {
  readonly finding?: Finding;
  readonly done?: Progress;
}

/** How children are watched. */
export interface Watch {
  /** Called with what is found, at once. */
  readonly tell: (finding: Finding) => void;
  readonly stuckMs: number;
  /** Words before the work with which this program is a child. */
  readonly arguments: readonly string[];
}

type Seeds = Pick<Work, "first" | "count" | "until">;

/** Reads the inputs of `count` seeds, or as many as there is time for, in processes that may hang and die. */
export async function campaign(
  target: string,
  { first, count, until }: Seeds,
  watch: Watch,
): Promise<Confirmed> {
  const begin = performance.now();
  const findings: Finding[] = [];
  const doubtful: Finding[] = [];
  const note = (finding: Finding) => {
    findings.push(finding);
    watch.tell(finding);
  };
  const weigh = (finding: Finding) =>
    DOUBTFUL.includes(finding.kind) ? doubtful.push(finding) : note(finding);
  let [seed, accepted, refused] = [first, 0, 0];
  while (seed < first + count && Date.now() < until) {
    const work = { target, first: seed, count: first + count - seed, until };
    const ended = await runOnce(work, watch, weigh);
    accepted += ended.accepted;
    refused += ended.refused;
    seed = ended.seed;
  }
  const seconds = (performance.now() - begin) / 1000;
  let withdrawn = 0;
  for (const finding of doubtful) {
    const { found, alone } = await readAlone(finding, watch);
    const wasCounted = finding.kind === "memory"; // it is not known which of some inputs it was
    if (found) note({ ...(finding.files && { files: finding.files }), ...found });
    else withdrawn++;
    if (wasCounted === (found === undefined)) continue;
    accepted += wasCounted ? -alone.accepted : alone.accepted;
    refused += wasCounted ? -alone.refused : alone.refused;
  }
  return { target, inputs: seed - first, accepted, refused, seconds, findings, withdrawn };
}

/** What an input does in a process of its own. */
async function readAlone(
  { target, seed }: Finding,
  watch: Watch,
): Promise<{ found: Finding | undefined; alone: Progress }> {
  const again: Finding[] = [];
  const work = { target, first: seed, count: 1, until: Number.MAX_SAFE_INTEGER };
  const alone = await runOnce(work, watch, (finding) => again.push(finding));
  return { found: again[0], alone };
}

/** One child, until it is through, dies or hangs: the seed after the last one that it read. */
async function runOnce(
  work: Omit<Work, "progress">,
  { stuckMs, arguments: words }: Watch,
  note: (finding: Finding) => unknown,
): Promise<Progress> {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
  const progress = join(folder, "progress");
  writeFileSync(progress, new Uint8Array(Float64Array.of(NOT_BEGUN, 0, 0).buffer));
  const at = (): Progress => {
    const state = new Float64Array(new Uint8Array(readFileSync(progress)).buffer);
    const [seed = NOT_BEGUN, accepted = 0, refused = 0] = state;
    return { seed, accepted, refused };
  };
  try {
    const child = start([...words, JSON.stringify({ ...work, progress })]);
    const { done, isStuck, code } = await ended(child, { at, stuckMs, note });
    if (done) return done;
    const last = { ...at(), seed: Math.max(at().seed, work.first) };
    const found = isStuck
      ? ({ kind: "hang", detail: `no end after ${stuckMs} ms` } as const)
      : ({ kind: "died", detail: `the process ended by itself (${code}), perhaps for memory` } as const);
    note({ ...found, target: work.target, seed: last.seed });
    return { ...last, seed: last.seed + 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function start(words: readonly string[]): ChildProcess {
  return fork(process.argv[1] as string, words, {
    execArgv: ["--enable-source-maps", `--max-old-space-size=${HEAP_MIB}`],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
}

/** How a child ended. */
interface End {
  /** Where it has told that it is through. */
  readonly done?: Progress;
  readonly isStuck: boolean;
  readonly code: number | string | null;
}

interface Eye {
  readonly at: () => Progress;
  readonly stuckMs: number;
  readonly note: (finding: Finding) => unknown;
}

function ended(child: ChildProcess, { at, stuckMs, note }: Eye): Promise<End> {
  return new Promise((resolve) => {
    let done: Progress | undefined;
    let isStuck = false;
    let [last, since] = [at().seed, Date.now()];
    const timer = setInterval(() => {
      const { seed } = at();
      if (seed !== last) [last, since] = [seed, Date.now()];
      else if (Date.now() - since > (seed === NOT_BEGUN ? START_MS : stuckMs)) {
        isStuck = true;
        child.kill("SIGKILL");
      }
    }, 250);
    child.on("message", (message: ChildMessage) => {
      if (message.finding) note(message.finding);
      done = message.done ?? done;
    });
    child.on("exit", (code, signal) => {
      clearInterval(timer);
      resolve({ ...(done && { done }), isStuck, code: code ?? signal });
    });
  });
}
