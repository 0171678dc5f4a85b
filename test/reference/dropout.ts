import { randomBits } from "./random.ts";

/** x / (1 − p) where the generator of common/random.wgsl keeps the element. */
export function dropoutReference(
  x: ArrayLike<number>,
  { p, seed }: { p: number; seed: number },
): Float64Array {
  const threshold = Math.floor(p * 2 ** 32);
  return Float64Array.from(x, (value, i) => (randomBits(seed, i) >= threshold ? value / (1 - p) : 0));
}
