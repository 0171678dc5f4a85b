import type { LowRank } from "../../combine/low-rank.ts";

/**
 * The change of a layer that began as `initial` with that taken out of the weight, as LoRA on the whole weight:
 * A' = [A; A₀], B' = [B, −B₀], of twice the rank. With alpha twice as large, too, the scale stays (PEFT's
 * `subtract_mutated_init`).
 */
export function onWholeWeight(trained: LowRank, initial: Pick<LowRank, "A" | "B">): LowRank {
  const { r, outFeatures } = trained;
  const A = new Float32Array(2 * trained.A.length);
  A.set(trained.A);
  A.set(initial.A, trained.A.length);
  const B = new Float32Array(2 * trained.B.length);
  for (let i = 0; i < outFeatures; i++) {
    B.set(trained.B.subarray(i * r, (i + 1) * r), 2 * i * r);
    B.set(
      initial.B.subarray(i * r, (i + 1) * r).map((value) => -value),
      (2 * i + 1) * r,
    );
  }
  return { ...trained, r: 2 * r, A, B };
}
