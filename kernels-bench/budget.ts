// Scaling down by time: sizes are run from small to large, and each is predicted from the one before.
import type { BenchCase } from "./harness.ts";
import type { Allowance, Measurement } from "./measure.ts";

/** Most that a single case may take of the time that is left: there are others. */
const LARGEST_PART = 1 / 4;
/** Milliseconds of timing that a case gets at most, and at least. */
const MOST_TIMING = 1000;
const LEAST_TIMING = 40;
/** A large case is run five times at least: once to compile, once to warm up, three samples. */
const FEWEST_RUNS = 5;

/** Milliseconds of preparing and comparing that do not grow with the size. */
const FIXED_PREPARATION = 50;

/** Milliseconds that compiling may take at the end of a budget, so that the last cases are not all left out. */
const FIRST_RUN_AT_LEAST = 10_000;

interface Known {
  work: number;
  measurement: Measurement;
}

/** Decides what fits into a number of seconds. */
export class Budget {
  readonly seconds: number;
  /** Milliseconds of timing for each case. */
  readonly timing: number;
  readonly #end: number;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  constructor(seconds: number, cases: number, now: () => number = () => performance.now()) {
    this.seconds = seconds;
    this.#now = now;
    this.#end = now() + 1000 * seconds;
    const even = (1000 * seconds) / (2 * Math.max(1, cases));
    this.timing = Math.min(MOST_TIMING, Math.max(LEAST_TIMING, even));
  }

  /** Why there is no time for a case, or undefined. */
  objection(benchCase: BenchCase): string | undefined {
    const left = this.#end - this.#now();
    if (left <= 0) return `the time budget of ${this.seconds} s is used up`;
    const predicted = this.#predict(benchCase);
    if (predicted === undefined || predicted <= left * LARGEST_PART) return undefined;
    const about = (predicted / 1000).toPrecision(2);
    return `would take about ${Number(about)} s, too much of the time budget of ${this.seconds} s`;
  }

  /** What a case may take: a prediction from a smaller size may have been far too low. */
  allowance(): Allowance {
    const left = Math.max(0, this.#end - this.#now());
    return { timing: this.timing, first: Math.max(left, FIRST_RUN_AT_LEAST) / (FEWEST_RUNS - 1) };
  }

  /** Notes what a case took. */
  learn({ op, work }: BenchCase, measurement: Measurement): void {
    if (op !== undefined && work !== undefined) this.#known.set(op, { work, measurement });
  }

  #predict({ op, work }: BenchCase): number | undefined {
    const known = op === undefined ? undefined : this.#known.get(op);
    if (!known || work === undefined) return undefined;
    const ratio = work / known.work;
    const { spread, cost } = known.measurement;
    const growing = Math.max(0, cost.preparation - FIXED_PREPARATION);
    return (
      cost.preparation + growing * (ratio - 1) + Math.max(this.timing, FEWEST_RUNS * spread.median * ratio)
    );
  }
}

/** The cases of each op, from small to large. */
export function ladders<T extends BenchCase>(cases: readonly T[]): T[][] {
  const byOp = new Map<string, T[]>();
  for (const benchCase of cases) {
    const op = benchCase.op ?? benchCase.name;
    byOp.set(op, [...(byOp.get(op) ?? []), benchCase]);
  }
  return [...byOp.values()].map((ladder) => ladder.sort((a, b) => (a.work ?? 0) - (b.work ?? 0)));
}
