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

const DISPATCHES = 1024;
const SAMPLES = 7;

/** Records products of one workgroup that all add to the same buffer: no other dispatch takes so much looking up. */
export async function measureOverhead(device: Device): Promise<Overhead> {
  const scope = device.memory.beginScope();
  try {
    const [a, b, y] = [zeros(device, [8, 8]), zeros(device, [8, 8]), zeros(device, [8, 8])];
    const [encode, total]: [number[], number[]] = [[], []];
    for (let i = 0; i < SAMPLES + 1; i++) {
      await device.sync();
      const started = performance.now();
      scoped(device, () => {
        for (let n = 0; n < DISPATCHES; n++) matmul(a, b, { layout: "NT", into: y });
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
