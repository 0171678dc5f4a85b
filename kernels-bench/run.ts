import type { Device } from "../src/gpu/device.ts";
import { LoraError } from "../src/util/fail.ts";
import { Budget, ladders } from "./budget.ts";
import { REGISTRY, type Registry } from "./cases.ts";
import { type Clock, openClock } from "./clock.ts";
import { deviceId } from "./device-id.ts";
import { type Measurement, measureCase, type TooSlow } from "./measure.ts";
import { measureOverhead } from "./overhead.ts";
import { measurePeak, type Peak } from "./peak.ts";
import { type BenchReport, type BenchResult, FORMAT, nameOf, type Omission, VERSION } from "./result.ts";
import { type SelectedCase, type Selection, selectCases } from "./select.ts";

/** How a benchmark is run. */
export interface RunOptions extends Selection {
  readonly budgetSeconds: number;
  /** Version of the package. */
  readonly package: string;
  readonly runtime: string;
  /** Other cases than the package's own, for tests. */
  readonly registry?: Registry;
}

/** What a run tells while it goes on. */
export interface RunEvents {
  /** A case begins; `done` of `total` are behind it. */
  onCase?(name: string, done: number, total: number): void;
  onResult?(result: BenchResult): void;
  /** Whether to stop after the case that runs, with what was measured so far. */
  isStopped?(): boolean;
}

/** Validates and times the selected kernels as far as the time budget goes. */
export async function runBench(
  device: Device,
  options: RunOptions,
  events: RunEvents = {},
): Promise<BenchReport> {
  const started = performance.now();
  const cases = selectCases(options.registry ?? REGISTRY, options);
  const budget = new Budget(options.budgetSeconds, cases.length);
  const clock = await openClock(device);
  events.onCase?.("peaks of the device", 0, cases.length);
  const peak = await measurePeak(device, clock);
  const dispatch = await measureOverhead(device);
  const outcome = await runCases(cases, device, { budget, clock, peak }, events);
  return {
    format: FORMAT,
    version: VERSION,
    package: options.package,
    date: new Date().toISOString(),
    runtime: options.runtime,
    device: describeDevice(device),
    clock: clock.kind,
    notes: notesOn(device, clock),
    budgetSeconds: options.budgetSeconds,
    seconds: (performance.now() - started) / 1000,
    peak,
    dispatch,
    ...outcome,
  };
}

interface Means {
  budget: Budget;
  clock: Clock;
  peak: Peak;
}

type Outcome = Pick<BenchReport, "results" | "skipped" | "failed">;

/** One size of each op, then the next size of each: a short budget still sees every kernel. */
function* inTurns<T>(ladders: readonly (readonly T[])[]): Generator<T> {
  const longest = Math.max(0, ...ladders.map(({ length }) => length));
  for (let rung = 0; rung < longest; rung++)
    for (const ladder of ladders) if (ladder[rung] !== undefined) yield ladder[rung] as T;
}

async function runCases(
  cases: readonly SelectedCase[],
  device: Device,
  means: Means,
  events: RunEvents,
): Promise<Outcome> {
  const order = ladders(cases);
  const results = new Map<SelectedCase, BenchResult>();
  const [skipped, failed]: [Omission[], Omission[]] = [[], []];
  let done = 0;
  let end: string | undefined;
  for (const benchCase of inTurns(order)) {
    const { name } = benchCase;
    events.onCase?.(name, done++, cases.length);
    if (events.isStopped?.()) end ??= "the run was stopped";
    try {
      const outcome = end ?? (await runCase(benchCase, device, means));
      if (typeof outcome === "string") skipped.push({ name, reason: outcome });
      else {
        results.set(benchCase, outcome);
        events.onResult?.(outcome);
      }
    } catch (error) {
      if (!(error instanceof LoraError)) throw error;
      if (error.kind === "out-of-memory") {
        skipped.push({ name, reason: "the device has not enough memory" });
        end = "the device had run out of memory";
      } else {
        failed.push({ name, reason: error.message });
        if (error.kind !== "input") end = "the device had failed";
      }
    }
  }
  return { results: order.flat().flatMap((benchCase) => results.get(benchCase) ?? []), skipped, failed };
}

/** The result of a case, or why there is none. @throws LoraError where its output is wrong or the device fails. */
async function runCase(
  benchCase: SelectedCase,
  device: Device,
  { budget, clock, peak }: Means,
): Promise<BenchResult | string> {
  const reason = benchCase.unfit?.(device) ?? budget.objection(benchCase);
  if (reason !== undefined) return reason;
  const measurement = await measureCase(benchCase, device, clock, budget.allowance());
  if ("firstRun" in measurement) return describeTooSlow(measurement, budget);
  budget.learn(benchCase, measurement);
  return resultOf(benchCase, measurement, peak);
}

function describeTooSlow({ firstRun }: TooSlow, { seconds }: Budget): string {
  return `one run takes ${(firstRun / 1000).toPrecision(2)} s, too much of the time budget of ${seconds} s`;
}

function resultOf(
  { kernel, name, op = name, size = "" }: SelectedCase,
  { spread, flops, bytes, dispatches, layers, compile }: Measurement,
  peak: Peak,
): BenchResult {
  const gflops = flops && flops / spread.median / 1e6;
  const gbps = bytes && bytes / spread.median / 1e6;
  const share = Math.max((gflops ?? 0) / peak.gflops, (gbps ?? 0) / peak.gbps);
  return {
    ...{ kernel, op, size, ...spread },
    ...(flops && { flops, gflops: flops / spread.median / 1e6 }),
    ...(bytes && { bytes, gbps: bytes / spread.median / 1e6 }),
    ...(layers && { dispatches, layers }),
    ...(share > 0 && { share }),
    ...(compile && { compile }),
  };
}

function describeDevice(device: Device): BenchReport["device"] {
  const { name, vendor, architecture, software, subgroupSize, f16 } = device.info;
  return { name, id: deviceId(device), vendor, architecture, software, subgroupSize, f16 };
}

function notesOn({ info }: Device, clock: Clock): string[] {
  return [
    info.software && "a software device: no GPU is used, and only ratios on this machine mean anything",
    clock.reason && `${clock.reason}: times are wall clock, which includes submitting and waiting`,
    info.subgroupSize === 0 && "no subgroups of a fixed size: the portable kernels run",
    !info.f16 && "no shader-f16: nothing computes in 16 bits",
  ].filter((note) => typeof note === "string" && note !== "") as string[];
}

/** A line on a result, for progress. */
export function describeResult(result: BenchResult): string {
  const { median, gflops, gbps, dispatches } = result;
  const rate = gflops === undefined ? `${(gbps ?? 0).toFixed(2)} GB/s` : `${gflops.toFixed(1)} GFLOP/s`;
  const part = dispatches === undefined ? rate : `${dispatches} dispatches`;
  return `${nameOf(result)}: ${median.toPrecision(3)} ms, ${part}`;
}
