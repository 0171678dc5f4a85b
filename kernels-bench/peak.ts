// What the device can do at most, measured: the yardstick of every share in a report.
import type { Device } from "../src/gpu/device.ts";
import { empty, scoped, type Tensor } from "../src/gpu/tensor.ts";
import { fill } from "../src/kernels/elementwise.ts";
import type { Clock } from "./clock.ts";
import copy from "./shaders/peak-copy.wgsl";
import fma from "./shaders/peak-fma.wgsl";

/** Highest rates that were measured. */
export interface Peak {
  /** 10⁹ f32 operations a second of independent multiply-adds in registers. */
  gflops: number;
  /** 10⁹ bytes a second, read and written, of a copy larger than the caches. */
  gbps: number;
}

/** Operations a lane of `elem` in a round of peak-fma.wgsl: 8 steps of 8 chains, 2 each. */
const ROUND = 128;
/** Long enough for a GPU's clock to rise, far from any watchdog. */
const TARGET_MS = 20;
const SAMPLES = 3;

/** Measures both peaks; each is the best of a few shapes of the same kernel, because devices prefer different ones. */
export async function measurePeak(device: Device, clock: Clock): Promise<Peak> {
  return { gflops: await fmaPeak(device, clock), gbps: await copyPeak(device, clock) };
}

async function fmaPeak(device: Device, clock: Clock): Promise<number> {
  // Workgroups enough for the largest GPUs; a rasteriser has few cores and pays for each workgroup.
  const groups = device.profile.sharesWork ? 4096 : 16;
  let best = 0;
  for (const [elem, width] of [
    ["f32", 1],
    ["vec4f", 4],
  ] as const) {
    for (const WG of device.profile.sharesWork ? [64, 256] : [8, 64]) {
      const invocations = groups * WG;
      const run = (rounds: number) => {
        const y = empty(device, [invocations * width]);
        const params = { rounds, m: 0.999, c: 0.001 };
        device.run(fma, "forward", { bind: { y }, params, constants: { elem, WG }, grid: [groups] });
      };
      const rate = await bestRate(device, clock, run, 64);
      best = Math.max(best, rate * invocations * width * ROUND);
    }
  }
  return best / 1e6; // per millisecond → 10⁹ a second
}

async function copyPeak(device: Device, clock: Clock): Promise<number> {
  const count = copyVectors(device);
  const [x, y] = [empty(device, [4 * count]), empty(device, [4 * count])] as [Tensor, Tensor];
  try {
    fill(x, 1);
    let best = 0;
    const [WG, grids] = device.profile.sharesWork ? [256, [1024, 4096, 16_384]] : [8, [8, 64]];
    for (const groups of grids) {
      const run = (times: number) => {
        for (let i = 0; i < times; i++)
          device.run(copy, "forward", {
            bind: { x, y },
            params: { count },
            constants: { WG },
            grid: [groups],
          });
      };
      best = Math.max(best, (await bestRate(device, clock, run, 1)) * 32 * count);
    }
    return best / 1e6;
  } finally {
    for (const { storage } of [x, y]) device.memory.release(storage);
    device.memory.trim();
  }
}

/** Vectors of 16 bytes: beyond the caches of every GPU, within the binding limit; a rasteriser's caches are small. */
function copyVectors({ info, limits }: Device): number {
  const wanted = info.software ? 2 ** 26 : 2 ** 27;
  return Math.floor(Math.min(wanted, limits.maxStorageBufferBindingSize, limits.maxBufferSize / 4) / 16);
}

/** Repetitions a millisecond of the fastest of a few samples, each long enough to be measured well. */
async function bestRate(
  device: Device,
  clock: Clock,
  run: (repetitions: number) => void,
  start: number,
): Promise<number> {
  const time = (repetitions: number) =>
    clock.time(() => {
      scoped(device, () => {
        run(repetitions);
        return undefined;
      });
    });
  let repetitions = start;
  await time(repetitions); // compiles
  let milliseconds = await time(repetitions);
  while (milliseconds < TARGET_MS / 2 && repetitions < 2 ** 20 * start) {
    repetitions *= Math.max(2, Math.min(16, Math.floor(TARGET_MS / Math.max(milliseconds, 0.01))));
    repetitions = Math.min(repetitions, start === 1 ? 512 : Number.POSITIVE_INFINITY);
    milliseconds = await time(repetitions);
    if (repetitions === 512) break;
  }
  let best = repetitions / milliseconds;
  for (let i = 0; i < SAMPLES; i++) best = Math.max(best, repetitions / (await time(repetitions)));
  return best;
}
