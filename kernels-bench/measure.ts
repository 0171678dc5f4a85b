import type { Device } from "../src/gpu/device.ts";
import { scoped, type Tensor } from "../src/gpu/tensor.ts";
import { fail } from "../src/util/fail.ts";
import { decodeBf16, decodeF16 } from "../src/util/half.ts";
import { type Clock, hostClock, wallClock } from "./clock.ts";
import type { BenchCase, Expected, Prepared } from "./harness.ts";

/** Milliseconds of one run over several samples. */
export interface Spread {
  median: number;
  fastest: number;
  slowest: number;
  /** A quarter of the samples is faster. */
  lower: number;
  /** A quarter of the samples is slower. */
  upper: number;
  samples: number;
}

/** What was found out about a case. */
export interface Measurement {
  spread: Spread;
  flops?: number;
  bytes?: number;
  /** Of a model's pass: how many dispatches it is, for how many layers. */
  dispatches?: number;
  layers?: number;
  /** What the first run took beyond a later one, where it compiled something. */
  compile?: { pipelines: number; milliseconds: number };
  /** Milliseconds of the whole, and of these the ones that grow with the size: inputs, reference, comparison. */
  cost: { total: number; preparation: number };
}

const MOST_SAMPLES = 11;
const FEWEST_SAMPLES = 3;

/** How long a case may take. */
export interface Allowance {
  /** Milliseconds of timing to aim at. */
  timing: number;
  /** Milliseconds that the first run may take, compiling included, for the case to be timed at all. */
  first: number;
}

/** A case whose first run was too long for the time there is. */
export interface TooSlow {
  firstRun: number;
}

/**
 * Validates a case, warms it up, and times it.
 * @throws LoraError where the output is wrong: a wrong kernel is not timed.
 */
export async function measureCase(
  benchCase: BenchCase,
  device: Device,
  clock: Clock,
  allowance: Allowance,
): Promise<Measurement | TooSlow> {
  const started = performance.now();
  return withPrepared(benchCase, device, async (prepared) => {
    const first = await firstRun(benchCase.name, prepared, device);
    if (first.milliseconds > allowance.first) return { firstRun: first.milliseconds };
    const preparation = performance.now() - started - first.milliseconds;
    const spread = await timeRuns(
      prepared,
      device,
      clockOf(prepared, device, clock),
      allowance.timing,
      first,
    );
    const { flops, bytes, layers } = prepared;
    return {
      spread,
      ...(flops && { flops }),
      ...(bytes && { bytes }),
      ...(layers && { layers, dispatches: first.dispatches }),
      ...(first.pipelines > 0 && { compile: compileTime(first, spread) }),
      cost: { total: performance.now() - started, preparation },
    };
  });
}

function clockOf({ clock }: Prepared, device: Device, deviceClock: Clock): Clock {
  if (clock === "host") return hostClock(device);
  return clock === "wall" ? wallClock(device, "the host is part of the work") : deviceClock;
}

/** Runs a case once and compares its outputs; times nothing. @throws LoraError where they are wrong. */
export async function checkCase(benchCase: BenchCase, device: Device): Promise<void> {
  await withPrepared(benchCase, device, (prepared) => firstRun(benchCase.name, prepared, device));
}

/** Launches a case once and looks at no output: for a driver without its card, which computes nothing. */
export async function launchCase(benchCase: BenchCase, device: Device): Promise<void> {
  await withPrepared(benchCase, device, async (prepared) => {
    scoped(device, () => tensorsOf(prepared.run()));
    await device.sync();
  });
}

/** Sets a case up, and frees all of it afterwards. */
async function withPrepared<T>(
  benchCase: BenchCase,
  device: Device,
  use: (prepared: Prepared) => Promise<T>,
): Promise<T> {
  const scope = device.memory.beginScope();
  let prepared: Prepared | undefined;
  try {
    prepared = benchCase.setup(device);
    return await use(prepared);
  } finally {
    prepared?.release?.();
    device.memory.endScope(scope);
    device.memory.trim(); // the next case's buffers have other sizes
  }
}

interface FirstRun {
  pipelines: number;
  dispatches: number;
  milliseconds: number;
}

/** The first run compiles; drivers put part of that off until the first dispatch, so it is timed to its end. */
async function firstRun(name: string, prepared: Prepared, device: Device): Promise<FirstRun> {
  await device.sync(); // uploads are no part of it
  const { compiled } = device.kernels;
  const { dispatches } = device.stream;
  const started = performance.now();
  const outputs = scoped(device, () => tensorsOf(prepared.run()));
  await device.sync();
  const milliseconds = performance.now() - started;
  await validate(name, outputs, prepared);
  return {
    pipelines: device.kernels.compiled - compiled,
    dispatches: device.stream.dispatches - dispatches,
    milliseconds,
  };
}

const tensorsOf = (output: Tensor | readonly Tensor[]): readonly Tensor[] =>
  "storage" in output ? [output] : output;

function compileTime({ pipelines, milliseconds }: FirstRun, { median }: Spread) {
  return { pipelines, milliseconds: Math.max(0, milliseconds - median) };
}

async function timeRuns(
  prepared: Prepared,
  device: Device,
  clock: Clock,
  milliseconds: number,
  first: FirstRun,
): Promise<Spread> {
  const most = Math.max(1, Math.floor(clock.capacity / first.dispatches));
  const sample = async (repetitions: number) => {
    const total = await clock.time(() => {
      for (let i = 0; i < repetitions; i++) discard(prepared, device);
    });
    return total / repetitions;
  };
  // A long run is not repeated to find out how long it is.
  const warmUps = first.pipelines === 0 && first.milliseconds > milliseconds ? 1 : Math.min(3, most);
  const started = performance.now();
  const warm = await sample(warmUps);
  // The host's part of a run says nothing about how long the device is busy with it.
  const wall = (performance.now() - started) / warmUps;
  const once = Math.max(clock.kind === "host" ? wall : warm, 1e-4);
  const samples = Math.min(MOST_SAMPLES, Math.max(FEWEST_SAMPLES, Math.floor(milliseconds / once)));
  const repetitions = Math.min(most, Math.max(1, Math.round(milliseconds / samples / once)));
  if (repetitions > 3) await sample(repetitions); // clocks of GPUs rise under load
  const times: number[] = [];
  for (let i = 0; i < samples; i++) times.push(await sample(repetitions));
  return summarize(times);
}

function discard({ run }: Prepared, device: Device): void {
  scoped(device, () => {
    run();
    return undefined;
  });
}

/** Order statistics of some times. */
export function summarize(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b);
  const quantile = (q: number) => {
    const at = q * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(at)] as number, sorted[Math.ceil(at)] as number];
    return below + (above - below) * (at - Math.floor(at));
  };
  return {
    median: quantile(0.5),
    fastest: quantile(0),
    slowest: quantile(1),
    lower: quantile(0.25),
    upper: quantile(0.75),
    samples: sorted.length,
  };
}

async function validate(name: string, outputs: readonly Tensor[], prepared: Prepared): Promise<void> {
  const { tolerance = 1e-4 } = prepared;
  const wanted = expectationsOf(prepared.reference(), outputs.length);
  for (const [i, output] of outputs.entries()) {
    const exact = output.dtype === "u32" || output.dtype === "i32";
    const label = outputs.length > 1 ? `${name}, output ${i}` : name;
    compare(label, await readValues(output), wanted[i] as Expected, exact ? 0 : tolerance);
  }
}

/** One output has its reference as it is, several have a list of them. */
function expectationsOf(reference: Expected | readonly Expected[], outputs: number): readonly Expected[] {
  return outputs === 1 && !isList(reference) ? [reference] : (reference as readonly Expected[]);
}

const isList = (reference: Expected | readonly Expected[]): reference is readonly Expected[] =>
  Array.isArray(reference) && typeof reference[0] === "object";

async function readValues(tensor: Tensor): Promise<ArrayLike<number>> {
  if (tensor.dtype === "f32") return tensor.read();
  if (tensor.dtype === "i32" || tensor.dtype === "u32") return tensor.readIntegers();
  const codes = new Uint16Array((await tensor.readBytes()).buffer);
  return tensor.dtype === "bf16" ? decodeBf16(codes) : decodeF16(codes);
}

function compare(name: string, got: ArrayLike<number>, expected: Expected, tolerance: number): void {
  // Not by "at" or "values": every array has methods of these names.
  const { at, values } = "length" in expected ? { at: undefined, values: expected } : expected;
  if (!at && values.length !== got.length) {
    fail(name, `got ${got.length} values, wanted ${values.length}`, "it was not timed");
  }
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] as number) ** 2;
  const scale = Math.sqrt(squares / Math.max(1, values.length)) || 1;
  for (let i = 0; i < values.length; i++) {
    const index = at ? (at[i] as number) : i;
    const [value, want] = [got[index] as number, values[i] as number];
    if (Math.abs(value - want) <= tolerance * scale) continue;
    fail(name, `wrong at [${index}]: got ${value}, wanted ${want}`, "it was not timed");
  }
}
