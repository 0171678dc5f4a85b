/** x / (1 − p) where the generator of common/random.wgsl, written again with host integers, keeps the element. */
export function dropoutReference(
  x: ArrayLike<number>,
  { p, seed }: { p: number; seed: number },
): Float64Array {
  const key = pcg(seed >>> 0);
  const threshold = Math.floor(p * 2 ** 32);
  return Float64Array.from(x, (value, i) => (pcg((pcg(i) + key) >>> 0) >= threshold ? value / (1 - p) : 0));
}

/** PCG-RXS-M-XS 32 of one number. */
function pcg(x: number): number {
  const state = (Math.imul(x, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
