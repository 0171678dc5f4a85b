import { largest } from "../../util/arrays.ts";

/** How many rows have how many tokens. */
export interface Lengths {
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly longest: number;
  /** From the shortest rows on, without gaps. */
  readonly histogram: readonly LengthBin[];
}

/** Rows of at least `from` and less than `to` tokens; without `to`, of all beyond. */
export interface LengthBin {
  readonly from: number;
  readonly to?: number;
  readonly rows: number;
}

/** Bars of a histogram at most. */
const BARS = 16;

/** Sums lengths up. Rows far beyond the others share the last bar, so that they do not flatten the rest. */
export function summariseLengths(lengths: readonly number[]): Lengths {
  const sorted = [...lengths].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  const longest = sorted.at(-1) ?? 0;
  const [median, p90, p99] = [at(0.5), at(0.9), at(0.99)];
  const shown = Math.min(longest, 2 * p99);
  return { median, p90, p99, longest, histogram: histogram(sorted, shown, longest) };
}

function histogram(sorted: readonly number[], shown: number, longest: number): LengthBin[] {
  if (sorted.length === 0) return [];
  const step = roundStep((shown + 1) / BARS);
  const counts: number[] = new Array<number>(Math.floor(shown / step) + 1).fill(0);
  let beyond = 0;
  for (const length of sorted) {
    const bar = Math.floor(length / step);
    if (bar < counts.length) counts[bar] = (counts[bar] ?? 0) + 1;
    else beyond++;
  }
  const first = counts.findIndex((rows) => rows > 0);
  const bins = counts
    .map((rows, i): LengthBin => ({ from: i * step, to: (i + 1) * step, rows }))
    .slice(first);
  return longest < counts.length * step ? bins : [...bins, { from: counts.length * step, rows: beyond }];
}

/** The next of 1, 2, 5, 10, 20 … */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? 10 * power;
}

/** The rows of the highest bar. */
export function highestBar(histogram: readonly LengthBin[]): number {
  return largest(histogram.map(({ rows }) => rows));
}
