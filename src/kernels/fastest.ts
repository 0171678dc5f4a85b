import type { Device } from "../gpu/device.ts";
import { scoped } from "../gpu/tensor.ts";

/** What was measured of the ways to compute one thing. */
export interface Fastest<Variant extends string> {
  /** The variant that is taken from now on. */
  variant: Variant;
  /** Median milliseconds of each variant that can compute it. */
  milliseconds: ReadonlyMap<Variant, number>;
}

/** Rounds in which all variants take turns, so that a change of the machine's speed meets all of them. */
const ROUNDS = 5;
/** What a variant must be faster by to replace the one that is taken without measuring. */
const MARGIN = 0.95;

/**
 * Times variants on a device, most of the time being spent on compiling them.
 * @param variants the first is what is taken by default; another must be clearly faster
 * @param run records the work of one variant; what it makes is freed
 */
export async function fastestOf<Variant extends string>(
  device: Device,
  variants: readonly [Variant, ...Variant[]],
  run: (variant: Variant) => void,
): Promise<Fastest<Variant>> {
  const times = new Map(variants.map((variant) => [variant, [] as number[]]));
  for (let round = -1; round < ROUNDS; round++) {
    for (const [variant, list] of times) {
      const time = await timeOnce(device, () => run(variant));
      if (round >= 0) list.push(time); // the first round compiles
    }
  }
  const milliseconds = new Map([...times].map(([variant, list]) => [variant, median(list)]));
  return { variant: quickest(variants, milliseconds), milliseconds };
}

function quickest<Variant extends string>(
  [usual, ...others]: readonly [Variant, ...Variant[]],
  milliseconds: ReadonlyMap<Variant, number>,
): Variant {
  const time = (variant: Variant) => milliseconds.get(variant) ?? Number.POSITIVE_INFINITY;
  const best = others.reduce((a, b) => (time(b) < time(a) ? b : a), others[0] ?? usual);
  return time(best) < MARGIN * time(usual) ? best : usual;
}

async function timeOnce(device: Device, run: () => void): Promise<number> {
  await device.sync();
  const start = performance.now();
  scoped(device, () => {
    run();
    return undefined;
  });
  await device.sync();
  return performance.now() - start;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}
