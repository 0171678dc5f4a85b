import {
  fromRows,
  fromTransposedRows,
  scaleColumns,
  toRows,
  toTransposedRows,
} from "../../util/linalg/matrix.ts";
import { type Svd, svdOfProduct } from "../../util/linalg/svd.ts";

/** The change of one layer's weight: ΔW = scale · B A. */
export interface LowRank {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly r: number;
  /** lora_A, `[r, in]`. */
  readonly A: Float32Array;
  /** lora_B, `[out, r]`. */
  readonly B: Float32Array;
  readonly scale: number;
}

/** A change and how much of it is wanted; negative takes it away. */
export interface Part {
  readonly change: LowRank;
  readonly weight: number;
}

/**
 * Σ weight · ΔW exactly, its rank the sum of the ranks: the rows of A stand one above the other, the columns of B side by
 * side, weights and scales go into A. PEFT's combination_type `cat`.
 */
export function concatenated(parts: readonly Part[]): LowRank {
  const { inFeatures, outFeatures } = parts[0]!.change;
  const r = parts.reduce((sum, { change }) => sum + change.r, 0);
  const [A, B] = [new Float32Array(r * inFeatures), new Float32Array(outFeatures * r)];
  let first = 0;
  for (const { change, weight } of parts) {
    A.set(
      change.A.map((value) => value * weight * change.scale),
      first * inFeatures,
    );
    for (let i = 0; i < outFeatures; i++)
      B.set(change.B.subarray(i * change.r, (i + 1) * change.r), i * r + first);
    first += change.r;
  }
  return { inFeatures, outFeatures, r, A, B, scale: 1 };
}

/** The singular values and vectors of Σ weight · ΔW, which is never formed. */
export function svdOfSum(parts: readonly Part[]): Svd {
  const { inFeatures, outFeatures, r, A, B } = concatenated(parts);
  return svdOfProduct(fromRows(B, outFeatures, r), fromTransposedRows(A, r, inFeatures));
}

/** B = U · diag(S), A = Vᵀ, as PEFT writes them: the scale is 1. */
export function fromSvd({ U, S, V }: Svd): LowRank {
  return {
    inFeatures: V.rows,
    outFeatures: U.rows,
    r: S.length,
    A: toTransposedRows(V),
    B: toRows(scaleColumns(U, S)),
    scale: 1,
  };
}

/** ΔW, `[out, in]`. */
export function denseChange({ inFeatures, outFeatures, r, A, B, scale }: LowRank): Float32Array {
  const values = new Float32Array(outFeatures * inFeatures);
  const row = new Float64Array(inFeatures);
  for (let i = 0; i < outFeatures; i++) {
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const factor = scale * B[i * r + k]!;
      const from = k * inFeatures;
      for (let j = 0; j < inFeatures; j++) row[j]! += factor * A[from + j]!;
    }
    values.set(row, i * inFeatures);
  }
  return values;
}
