// What a dispatch costs beside its work.
import type { Device } from "../src/gpu/device.ts";
import { scoped } from "../src/gpu/tensor.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { matmul } from "../src/kernels/matmul.ts";
import { summarize } from "./measure.ts";

/** Microseconds a dispatch. */
export interface Overhead {
  /** In JavaScript, everything cached: looking up pipeline, uniform and bind group, and recording. */
  encodeMicroseconds: number;
  /** From submission to completion, of dispatches that do next to nothing and wait for each other. */
  dispatchMicroseconds: number;
}

/** Fewer than are submitted at once, so that a device of the same cores does not compute while they are recorded. */
const RECORDED = 200;
const DISPATCHES = 1024;
const SAMPLES = 15;
/** Samples before those that count: until the JavaScript engine has compiled what runs here. */
const WARM_UP = 10;

/** Records products of one workgroup that all add to the same buffer: no other dispatch takes so much looking up. */
export async function measureOverhead(device: Device): Promise<Overhead> {
  const scope = device.memory.beginScope();
  try {
    const [a, b, y] = [zeros(device, [8, 8]), zeros(device, [8, 8]), zeros(device, [8, 8])];
    const record = (count: number) =>
      scoped(device, () => {
        for (let n = 0; n < count; n++) matmul(a, b, { layout: "NT", into: y });
        return undefined;
      });
    const total = await sample(device, DISPATCHES, async () => {
      record(DISPATCHES);
      await device.sync();
    });
    // After the other, which has let the stream submit larger batches.
    const encode = await sample(device, RECORDED, async () => record(RECORDED));
    return { encodeMicroseconds: encode, dispatchMicroseconds: total };
  } finally {
    device.memory.endScope(scope);
  }
}

/** Median microseconds of each of `count` dispatches that `run` records; the device is idle when it starts. */
async function sample(device: Device, count: number, run: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    await device.sync();
    const started = performance.now();
    await run();
    times.push(performance.now() - started);
  }
  return (1000 * summarize(times.slice(WARM_UP)).median) / count;
}
