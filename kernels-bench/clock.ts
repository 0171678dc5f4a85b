import type { Device } from "../src/gpu/device.ts";
import { Profiler } from "../src/gpu/profiler.ts";
import { scoped } from "../src/gpu/tensor.ts";
import { zeros } from "../src/kernels/elementwise.ts";

/** Measures how long recorded work takes; `Kind` says which part of it. */
export interface Clock<Kind = "timestamps" | "wall" | "host"> {
  /** `timestamps`: the device's own, around each dispatch; `wall`: from recording to completion; `host`: until submission. */
  readonly kind: Kind;
  /** Why it is not the device's own clock. */
  readonly reason?: string;
  /** Dispatches that one measurement can hold. */
  readonly capacity: number;
  /** Milliseconds that the work which `record` records takes, including all waiting where the clock is on the wall. */
  time(record: () => void): Promise<number>;
}

/** Half of the query set that the profiler has: a dispatch takes two timestamps. */
const CAPACITY = 2048;

/** The device's clock where it has a usable one, else the host's. */
export async function openClock(device: Device): Promise<Clock<"timestamps" | "wall">> {
  if (!device.info.timestamps) return wallClock(device, "the device has no timestamp queries");
  const clock = deviceClock(device);
  return (await isQuantized(device, clock))
    ? wallClock(device, "this environment rounds timestamps too coarsely")
    : clock;
}

function deviceClock(device: Device): Clock<"timestamps"> {
  const profiler = new Profiler(device.gpu);
  return {
    kind: "timestamps",
    capacity: CAPACITY,
    async time(record) {
      device.stream.profiler = profiler;
      try {
        record();
      } finally {
        device.stream.profiler = undefined;
      }
      await device.sync();
      return (await profiler.read()).reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    },
  };
}

/** The host's clock, around recording, submitting and waiting. */
export function wallClock(device: Device, reason: string): Clock<"wall"> {
  return {
    kind: "wall",
    reason,
    capacity: Number.POSITIVE_INFINITY,
    async time(record) {
      const start = performance.now();
      record();
      await device.sync();
      return performance.now() - start;
    },
  };
}

/** The host's clock, around recording and submitting alone; the device has nothing to do when it starts. */
export function hostClock(device: Device): Clock<"host"> {
  return {
    kind: "host",
    capacity: Number.POSITIVE_INFINITY,
    async time(record) {
      const start = performance.now();
      record();
      device.stream.flush();
      const took = performance.now() - start;
      await device.sync();
      return took;
    },
  };
}

/** Browsers round to 100 µs (Chromium) and Dawn to 65.536 µs by default, as long as many kernels take. */
const COARSE_NANOSECONDS = 4096;

/** Whether the durations of small dispatches, which differ a little from each other, are all multiples of a coarse step. */
async function isQuantized(device: Device, clock: Clock): Promise<boolean> {
  const tiny = () =>
    scoped(device, () => {
      zeros(device, [1024]);
      return undefined;
    });
  await clock.time(tiny);
  for (let i = 0; i < 8; i++) {
    const nanoseconds = Math.round((await clock.time(tiny)) * 1e6);
    if (nanoseconds > 0 && nanoseconds % COARSE_NANOSECONDS !== 0 && nanoseconds % 100_000 !== 0)
      return false;
  }
  return true;
}
