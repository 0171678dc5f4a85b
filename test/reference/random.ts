/** The generator of common/random.wgsl, written again with host integers: 32 bits of a seed and the number of an element. */
export function randomBits(seed: number, index: number): number {
  return pcg((pcg(index) + pcg(seed >>> 0)) >>> 0);
}

/** PCG-RXS-M-XS 32 of one number. */
function pcg(x: number): number {
  const state = (Math.imul(x, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
