// Engines side by side on one work: outputs compared, then timed in turns, so that a slow minute of the machine hits all.
import { relativeNormError } from "../../test/support/compare.ts";
import { summarize } from "../measure.ts";
import { callsOf } from "./counting.ts";
import type { Engine, Prepared } from "./engine.ts";
import { nameOf, type Work } from "./work.ts";

/** How one engine did at one work. */
export interface Entry {
  readonly engine: string;
  readonly version: string;
  /** Milliseconds of one run: median and quartiles over the rounds. */
  readonly median?: number;
  readonly lower?: number;
  readonly upper?: number;
  /** Median over the rounds of this engine's time by the first engine's: above 1, the first is faster. */
  readonly ratio?: number;
  /** Largest relative error (norm of the difference) of its outputs against the first engine's. */
  readonly difference?: number;
  /** WebGPU calls of one run; engines that bring a WebGPU of their own cannot be counted. */
  readonly dispatches?: number;
  readonly submits?: number;
  /** Microseconds of JavaScript a dispatch. */
  readonly hostMicroseconds?: number;
  /** Why there is no time. */
  readonly failure?: string;
}

/** All engines at one work. */
export interface Contest {
  readonly work: string;
  readonly rounds: number;
  readonly entries: readonly Entry[];
}

/** Outputs may differ by this much: engines sum in different orders. */
const TOLERANCE = 2e-3;
/** Losses of the compared steps depend on all that was computed before. */
const TRAINING_TOLERANCE = 1e-2;
/** A turn repeats its work for about this long, so that a timer's step and a stray interrupt do not count. */
const TURN_MS = 60;
/** One of training, about a step of the slowest peer: the first after another engine's turn finds the caches cold. */
const TRAINING_TURN_MS = 1000;

/** With fewer, what a submission costs outweighs what each dispatch does. */
const MANY_DISPATCHES = 50;

interface Runner {
  engine: Engine;
  prepared: Prepared;
  difference: number;
  repetitions: number;
  times: number[];
  /** Milliseconds of JavaScript of each run, without waiting. */
  host: number[];
}

/** Times the engines that can do a work against the first of them. */
export async function contest(work: Work, engines: readonly Engine[], rounds: number): Promise<Contest> {
  const failures: Entry[] = [];
  const runners: Runner[] = [];
  let wanted: readonly ArrayLike<number>[] | undefined;
  for (const engine of engines) {
    try {
      const prepared = await engine.prepare(work);
      if (!prepared) continue;
      const outputs = await prepared.outputs();
      wanted ??= outputs;
      const difference = compareOutputs(outputs, wanted, isComparable(engine, work));
      runners.push({ engine, prepared, difference, repetitions: 1, times: [], host: [] });
    } catch (error) {
      failures.push(describe(engine, { failure: (error as Error).message.split("\n")[0] as string }));
    }
  }
  await timeInTurns(runners, rounds, work.kind === "training" ? TRAINING_TURN_MS : TURN_MS);
  const entries: Entry[] = [];
  for (const runner of runners) entries.push(await entryOf(runner, runners[0] as Runner));
  for (const { prepared } of [...runners].reverse()) prepared.release();
  return { work: nameOf(work), rounds, entries: [...entries, ...failures] };
}

/** LoRA starts from the same losses but trains other weights, and bf16 rounds them: these are not held to the outputs. */
const isComparable = ({ name }: Engine, work: Work): number =>
  name.includes(",") ? Number.POSITIVE_INFINITY : work.kind === "training" ? TRAINING_TOLERANCE : TOLERANCE;

function compareOutputs(
  got: readonly ArrayLike<number>[],
  want: readonly ArrayLike<number>[],
  tolerance: number,
): number {
  if (got.length !== want.length) throw new Error(`gave ${got.length} outputs, not ${want.length}`);
  const worst = Math.max(...got.map((values, i) => relativeNormError(values, want[i] as ArrayLike<number>)));
  if (!(worst <= tolerance))
    throw new Error(`its outputs differ by ${worst.toPrecision(2)}; wanted at most ${tolerance}`);
  return worst;
}

async function timeInTurns(runners: readonly Runner[], rounds: number, turnMs: number): Promise<void> {
  for (const runner of runners) {
    await turn(runner);
    runner.repetitions = Math.max(1, Math.min(50, Math.round(turnMs / (await turn(runner)))));
  }
  for (let round = 0; round < rounds; round++) {
    for (const runner of runners) runner.times.push(await turn(runner));
  }
}

/** Median milliseconds of the turn's runs, each waited for before the next begins: other guests of a machine come in bursts. */
async function turn({ prepared, repetitions, host }: Runner): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < repetitions; i++) {
    const begun = performance.now();
    const finish = prepared.start();
    host.push(performance.now() - begun);
    await finish();
    times.push(performance.now() - begun);
  }
  return summarize(times).median;
}

async function entryOf({ engine, prepared, difference, times, host }: Runner, first: Runner): Promise<Entry> {
  const { median, lower, upper } = summarize(times);
  const ratios = times.map((time, round) => time / (first.times[round] as number));
  const { dispatches, submits } = await callsOf(() => prepared.start()());
  return describe(engine, {
    ...{ median, lower, upper, difference },
    ratio: summarize(ratios).median,
    ...(dispatches > 0 && { dispatches, submits }),
    ...(dispatches >= MANY_DISPATCHES && { hostMicroseconds: (1000 * summarize(host).median) / dispatches }),
  });
}

const describe = ({ name, version }: Engine, rest: Partial<Entry>): Entry => ({
  engine: name,
  version,
  ...rest,
});
