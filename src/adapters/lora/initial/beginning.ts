import { fail } from "../../../util/fail.ts";
import type { Dense } from "../../../util/linalg/dense.ts";

/** How LoRA of one layer begins where that depends on the layer's weight. */
export interface Beginning {
  /** lora_A, `[r, in]`. */
  readonly A: Float32Array;
  /** lora_B, `[out, r]`. */
  readonly B: Float32Array;
  /** What takes the place of the layer's weight, `[out, in]`: with scale · B A it computes what the weight does. */
  readonly base: Float32Array;
}

/** W − scale · B A, as exact as f32 holds it. */
export function withoutChange(
  { rows, cols, values }: Dense,
  { A, B }: Pick<Beginning, "A" | "B">,
  scale: number,
): Float32Array {
  const r = A.length / cols;
  const base = new Float32Array(values.length);
  const row = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    row.set(values.subarray(i * cols, (i + 1) * cols));
    for (let k = 0; k < r; k++) {
      const factor = scale * B[i * r + k]!;
      for (let j = 0; j < cols; j++) row[j]! -= factor * A[k * cols + j]!;
    }
    base.set(row, i * cols);
  }
  return base;
}

/** @throws LoraError where a layer has fewer singular values than the rank asks for */
export function requireRank(where: string, { rows, cols }: Pick<Dense, "rows" | "cols">, r: number): void {
  const most = Math.min(rows, cols);
  if (r > most) fail(where, `r is ${r}, and the layer is ${cols} → ${rows}`, `take an r of at most ${most}`);
}
