// What a dispatch costs beside its work.
import type { Device } from "../src/gpu/device.ts";
import { empty, scoped } from "../src/gpu/tensor.ts";
import { fill } from "../src/kernels/elementwise.ts";
import { summarize } from "./measure.ts";

/** Microseconds a dispatch. */
export interface Overhead {
  /** In JavaScript, everything cached: looking up pipeline, uniform and bind group, and recording. */
  encodeMicroseconds: number;
  /** From submission to completion, of dispatches that do next to nothing and wait for each other. */
  dispatchMicroseconds: number;
}

const DISPATCHES = 1024;
const SAMPLES = 7;

/** Records dispatches of one workgroup that all write the same buffer. */
export async function measureOverhead(device: Device): Promise<Overhead> {
  const scope = device.memory.beginScope();
  try {
    const y = empty(device, [64]);
    const [encode, total]: [number[], number[]] = [[], []];
    for (let i = 0; i < SAMPLES + 1; i++) {
      await device.sync();
      const started = performance.now();
      scoped(device, () => {
        for (let n = 0; n < DISPATCHES; n++) fill(y, 0);
        return undefined;
      });
      encode.push(performance.now() - started);
      await device.sync();
      total.push(performance.now() - started);
    }
    const each = (times: number[]) => (1000 * summarize(times.slice(1)).median) / DISPATCHES; // the first warms up
    return { encodeMicroseconds: each(encode), dispatchMicroseconds: each(total) };
  } finally {
    device.memory.endScope(scope);
  }
}
