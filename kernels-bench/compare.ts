// Is a kernel slower than it was, or is it noise?
import { type BenchReport, type BenchResult, nameOf } from "./result.ts";
import { digits, formatTable } from "./table.ts";

/** How a kernel's time changed. */
export interface Change {
  readonly name: string;
  readonly before: BenchResult;
  readonly after: BenchResult;
  /** New median by old median: above 1 is slower. */
  readonly ratio: number;
  readonly verdict: "slower" | "faster" | "noise";
}

/**
 * Compares what both reports have. A change counts where the spreads, from the lower to the upper quartile, do not
 * overlap: half of all samples lie there, so that runs which differ only by noise overlap.
 */
export function compareReports(before: BenchReport, after: BenchReport): Change[] {
  const known = new Map(before.results.map((result) => [nameOf(result), result]));
  return after.results.flatMap((result) => {
    const old = known.get(nameOf(result));
    return old ? [changeOf(old, result)] : [];
  });
}

function changeOf(before: BenchResult, after: BenchResult): Change {
  const verdict =
    after.lower > before.upper ? "slower" : after.upper < before.lower ? "faster" : ("noise" as const);
  return { name: nameOf(after), before, after, ratio: after.median / before.median, verdict };
}

/** What changed, worst first, and what may make the comparison unfair. */
export function formatComparison(before: BenchReport, after: BenchReport): string[] {
  const changes = compareReports(before, after);
  const only = (verdict: Change["verdict"]) =>
    changes.filter((change) => change.verdict === verdict).sort((a, b) => b.ratio - a.ratio);
  const [slower, faster, noise] = [only("slower"), only("faster"), only("noise")];
  return [
    `compared with ${before.device.name}, ${before.date.slice(0, 10)}, webgpu-lora ${before.package}: ` +
      `${slower.length} slower, ${faster.length} faster, ${noise.length} within the noise`,
    ...caveats(before, after).map((caveat) => `note: ${caveat}`),
    ...(slower.length > 0 ? ["slower:", ...rows(slower)] : []),
    ...(faster.length > 0 ? ["faster:", ...rows(faster)] : []),
  ];
}

function rows(changes: readonly Change[]): string[] {
  const cells = changes.map(({ name, before, after, ratio }) => [
    `  ${name}`,
    `${digits(before.median)} ms (${digits(before.lower)} … ${digits(before.upper)})`,
    "→",
    `${digits(after.median)} ms (${digits(after.lower)} … ${digits(after.upper)})`,
    `× ${ratio.toFixed(2)}`,
  ]);
  return formatTable(cells, ["left", "right", "left", "right", "right"]);
}

/** Peaks that differ by this factor say that the machine itself was not the same. */
const STEADY = 1.15;

function caveats(before: BenchReport, after: BenchReport): string[] {
  const found: string[] = [];
  if (before.device.name !== after.device.name)
    found.push(`the devices differ: ${before.device.name} then, ${after.device.name} now`);
  if (before.runtime !== after.runtime)
    found.push(`the runtimes differ: ${before.runtime} then, ${after.runtime} now`);
  if (before.clock !== after.clock) found.push(`the clocks differ: ${before.clock} then, ${after.clock} now`);
  for (const [key, unit] of [
    ["gflops", "GFLOP/s"],
    ["gbps", "GB/s"],
  ] as const) {
    const ratio = after.peak[key] / before.peak[key];
    if (ratio < STEADY && ratio > 1 / STEADY) continue;
    const values = `${digits(before.peak[key])} ${unit} then, ${digits(after.peak[key])} now`;
    found.push(`the device's measured peak was ${values}: part of a change may be the machine's`);
  }
  return found;
}
