import { randomBits } from "./random.ts";

/** x + magnitude · u, u uniform in [−1, 1) by the upper 24 bits of the generator of common/random.wgsl. */
export function noiseReference(
  x: ArrayLike<number>,
  { magnitude, seed }: { magnitude: number; seed: number },
): Float64Array {
  return Float64Array.from(x, (value, i) => value + magnitude * ((randomBits(seed, i) >>> 8) / 2 ** 23 - 1));
}
