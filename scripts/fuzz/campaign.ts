import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Finding, PROGRESS_BYTES, type Progress, type Work } from "./child.ts";

/** A child that stays at one input for as long is stopped, ms. The machine may be busy; {@link confirm} is exact. */
const STUCK_MS = 5000;

/** Heap of a child, MiB: an input that needs more ends the process. */
const HEAP_MIB = 400;

/** What came of the inputs of one target. */
export interface Result {
  readonly target: string;
  inputs: number;
  accepted: number;
  refused: number;
  seconds: number;
  readonly findings: Finding[];
}

/** What a child process is started with, and what it sends when it is through. */
export interface ChildMessage {
  readonly finding?: Finding;
  readonly done?: Progress;
}

/** Reads the inputs of `count` seeds, or as many as there is time for, in processes that can hang and die. */
export async function campaign(
  target: string,
  { first, count, until }: Pick<Work, "first" | "count" | "until">,
  tell: (finding: Finding) => void,
): Promise<Result> {
  const begin = performance.now();
  const result: Result = { target, inputs: 0, accepted: 0, refused: 0, seconds: 0, findings: [] };
  const note = (finding: Finding) => {
    result.findings.push(finding);
    tell(finding);
  };
  for (let seed = first; seed < first + count && Date.now() < until; ) {
    const ended = await runOnce({ target, first: seed, count: first + count - seed, until }, note);
    result.accepted += ended.accepted;
    result.refused += ended.refused;
    result.inputs += ended.seed - seed;
    seed = ended.seed;
  }
  return { ...result, seconds: (performance.now() - begin) / 1000 };
}

/** One child, until it is through, dies or hangs: the seed after the last one that it read. */
async function runOnce(work: Omit<Work, "progress">, note: (finding: Finding) => void): Promise<Progress> {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
  const progress = join(folder, "progress");
  writeFileSync(progress, new Uint8Array(PROGRESS_BYTES));
  const at = (): Progress => {
    const [seed = 0, accepted = 0, refused = 0] = new Float64Array(
      new Uint8Array(readFileSync(progress)).buffer,
    );
    return { seed: Math.max(seed, work.first), accepted, refused };
  };
  try {
    const child = start({ ...work, progress });
    const { done, isStuck, code } = await watch(child, at, note);
    if (done) return done;
    const last = at();
    const kind = isStuck ? "hang" : "died";
    const detail = isStuck
      ? `no end after ${STUCK_MS} ms`
      : `the process ended by itself (${code}), perhaps for memory`;
    note({ kind, detail, target: work.target, seed: last.seed });
    return { ...last, seed: last.seed + 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function start(work: Work): ChildProcess {
  const execArgv = ["--enable-source-maps", `--max-old-space-size=${HEAP_MIB}`];
  return fork(process.argv[1] as string, ["--child", JSON.stringify(work)], {
    execArgv,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
}

interface End {
  readonly done?: Progress;
  readonly isStuck: boolean;
  readonly code: number | string | null;
}

function watch(child: ChildProcess, at: () => Progress, note: (finding: Finding) => void): Promise<End> {
  return new Promise((resolve) => {
    let done: Progress | undefined;
    let isStuck = false;
    let [last, since] = [at().seed, Date.now()];
    const timer = setInterval(() => {
      const { seed } = at();
      if (seed !== last) [last, since] = [seed, Date.now()];
      else if (Date.now() - since > STUCK_MS) {
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
