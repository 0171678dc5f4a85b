import type { LowRank } from "./low-rank.ts";

/**
 * Cuts the values of A and B off at ± the quantile of them all, as PEFT's `svd_clamp`. What the quantile is depends on the
 * signs of the singular vectors, which are nobody's choice: another program's result may differ a little.
 */
export function clampFactors(change: LowRank, share: number): LowRank {
  const { A, B } = change;
  const all = new Float32Array(A.length + B.length);
  all.set(B);
  all.set(A, B.length);
  const bound = quantile(all.sort(), share);
  // A negative bound would turn the two limits around: torch gives the upper one then.
  const clamp = (value: number) => Math.min(Math.max(value, -bound), bound);
  return { ...change, A: A.map(clamp), B: B.map(clamp) };
}

/** The quantile of ascending values, between two of them by their distance (torch's `linear`). */
function quantile(ascending: Float32Array, share: number): number {
  const place = share * (ascending.length - 1);
  const below = Math.floor(place);
  const [low, high] = [ascending[below]!, ascending[Math.min(below + 1, ascending.length - 1)]!];
  return low + (high - low) * (place - below);
}
