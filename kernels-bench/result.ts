// The format of a result file. A change that an older reader would misread raises VERSION.
import { fail } from "../src/util/fail.ts";
import type { Overhead } from "./overhead.ts";
import type { Peak } from "./peak.ts";

/** Marks a file as a result of this benchmark. */
export const FORMAT = "webgpu-lora bench";
/** Version of the format. */
export const VERSION = 1;

/** One kernel at one size, timed. */
export interface BenchResult {
  readonly kernel: string;
  readonly op: string;
  readonly size: string;
  /** Milliseconds of one run: median, quartiles, extremes. */
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
  readonly fastest: number;
  readonly slowest: number;
  readonly samples: number;
  /** Operations and bytes that the formula needs at least. */
  readonly flops?: number;
  readonly bytes?: number;
  /** 10⁹ a second, from the median. */
  readonly gflops?: number;
  readonly gbps?: number;
  /** Of a model's pass: how many dispatches it is, for how many layers. */
  readonly dispatches?: number;
  readonly layers?: number;
  /** Of the roofline: the time that the measured peaks allow at least, divided by the median. */
  readonly share?: number;
  /** What compiling took, where this case was the first to need a pipeline. */
  readonly compile?: { readonly pipelines: number; readonly milliseconds: number };
}

/** A case that was not timed, and why. */
export interface Omission {
  readonly name: string;
  readonly reason: string;
}

/** A whole run: what a result file holds. */
export interface BenchReport {
  readonly format: typeof FORMAT;
  readonly version: number;
  /** Of this package. */
  readonly package: string;
  /** ISO 8601. */
  readonly date: string;
  /** As `Node v20.20.2, Dawn (webgpu 0.6.2)`. */
  readonly runtime: string;
  readonly device: {
    readonly name: string;
    /** Short name, which the file is called by. */
    readonly id: string;
    readonly vendor: string;
    readonly architecture: string;
    readonly software: boolean;
    readonly subgroupSize: number;
    readonly f16: boolean;
  };
  readonly clock: "timestamps" | "wall";
  /** What the device lacks, and what that means for the figures. */
  readonly notes: readonly string[];
  readonly budgetSeconds: number;
  readonly seconds: number;
  readonly peak: Peak;
  readonly dispatch: Overhead;
  readonly results: readonly BenchResult[];
  /** Left out: the time budget, or the device. */
  readonly skipped: readonly Omission[];
  /** Wrong results; these kernels were not timed. */
  readonly failed: readonly Omission[];
}

/** A unique name of a result: `op size`. */
export function nameOf({ op, size }: Pick<BenchResult, "op" | "size">): string {
  return size === "" ? op : `${op} ${size}`;
}

/** A report as the text of a result file; six digits are more than any timing has. */
export function serializeReport(report: BenchReport): string {
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(6)) : value;
  return `${JSON.stringify(report, rounded, 1)}\n`;
}

/**
 * Reads a result file.
 * @throws LoraError where it is no JSON, no result, or of another version.
 */
export function parseReport(text: string, label: string): BenchReport {
  const help = "give a JSON file that webgpu-lora bench has written";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    fail(label, `is no JSON: ${(error as Error).message}`, help);
  }
  const report = (typeof value === "object" ? value : null) as Partial<BenchReport> | null;
  if (report?.format !== FORMAT) fail(label, "is no result of the benchmark", help);
  if (report.version !== VERSION) {
    fail(
      label,
      `is a result of version ${report.version} (by webgpu-lora ${report.package}); this program reads version ${VERSION}`,
      "run the benchmark again with this program, and compare with that result",
    );
  }
  if (!isWhole(report)) fail(label, "is a result of the benchmark, but not a whole one", help);
  return report;
}

function isWhole(report: Partial<BenchReport>): report is BenchReport {
  const { results, peak, device } = report;
  const isNumber = (value: unknown) => typeof value === "number" && Number.isFinite(value);
  return (
    Array.isArray(results) &&
    results.every(
      ({ op, median, lower, upper }) => typeof op === "string" && [median, lower, upper].every(isNumber),
    ) &&
    isNumber(peak?.gflops) &&
    isNumber(peak?.gbps) &&
    typeof device?.name === "string"
  );
}
