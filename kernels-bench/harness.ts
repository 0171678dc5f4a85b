import type { Device } from "../src/gpu/device.ts";
import { scoped, type Tensor } from "../src/gpu/tensor.ts";

/** What a prepared benchmark case gives the harness. */
export interface Prepared {
  /** Records the work once and returns its output; called many times. */
  run(): Tensor;
  /** The f64 reference's output (from test/reference), compared before anything is timed. */
  reference(): ArrayLike<number>;
  /** Largest relative error accepted, against the reference's rms; 1e-4 unless given. */
  tolerance?: number;
  /** Floating-point operations of one run, for GFLOP/s. */
  flops?: number;
  /** Bytes that one run must move at least, for GB/s. */
  bytes?: number;
}

/** One kernel at one size. */
export interface BenchCase {
  name: string;
  setup(device: Device): Prepared;
}

/** Median and spread of a case; times in milliseconds. */
export interface BenchResult {
  name: string;
  median: number;
  fastest: number;
  slowest: number;
  gflops?: number;
  gbps?: number;
}

async function validate(
  name: string,
  { run, reference, tolerance = 1e-4 }: Prepared,
  device: Device,
): Promise<void> {
  const got = await scoped(device, run).read();
  const want = reference();
  const scale = Math.sqrt(got.reduce((sum, _, i) => sum + (want[i] as number) ** 2, 0) / got.length) || 1;
  const at = got.findIndex((value, i) => !(Math.abs(value - (want[i] as number)) <= tolerance * scale));
  if (at >= 0) throw new Error(`${name}: wrong at [${at}]: got ${got[at]}, wanted ${want[at]}; not timed`);
}

/** Milliseconds of one run, averaged over `repetitions`. */
async function sample(prepared: Prepared, device: Device, repetitions: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < repetitions; i++) scopedRun(prepared, device);
  await device.sync();
  return (performance.now() - start) / repetitions;
}

function scopedRun({ run }: Prepared, device: Device): void {
  scoped(device, () => {
    run();
    return undefined;
  });
}

/** Validates, warms up, then times `samples` windows of about `window` ms each. */
export async function measure(
  benchCase: BenchCase,
  device: Device,
  { samples = 5, window = 100 } = {},
): Promise<BenchResult> {
  const scope = device.memory.beginScope();
  try {
    const prepared = benchCase.setup(device);
    await validate(benchCase.name, prepared, device);
    const once = await sample(prepared, device, 1);
    const repetitions = Math.max(1, Math.round(window / Math.max(once, 0.01)));
    await sample(prepared, device, repetitions);
    const times: number[] = [];
    for (let i = 0; i < samples; i++) times.push(await sample(prepared, device, repetitions));
    return summarize(benchCase.name, times, prepared);
  } finally {
    device.memory.endScope(scope);
  }
}

function summarize(name: string, times: number[], { flops, bytes }: Prepared): BenchResult {
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1] as number;
  return {
    name,
    median,
    fastest: times[0] as number,
    slowest: times.at(-1) as number,
    ...(flops && { gflops: flops / median / 1e6 }),
    ...(bytes && { gbps: bytes / median / 1e6 }),
  };
}
