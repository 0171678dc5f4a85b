import { matmulReference } from "./matmul.ts";

/** Sizes of a layer: T rows of `out` outputs, and a branch of r columns. */
export interface BranchSizes {
  rows: number;
  out: number;
  r: number;
}

/** y = h Bᵀ `[T, out]` with h `[T, r]`, in f64. */
export function branchReference(
  h: ArrayLike<number>,
  B: ArrayLike<number>,
  { rows, out, r }: BranchSizes,
): Float64Array {
  return matmulReference(h, B, { m: rows, n: out, k: r, layout: "NT" });
}

/** Gradients of sum(dy · y): scale · dL/dh `[T, r]` and dL/dB `[out, r]`. */
export function branchGradientsReference(
  { dy, h, B }: { dy: ArrayLike<number>; h: ArrayLike<number>; B: ArrayLike<number> },
  { rows, out, r }: BranchSizes,
  scale: number,
): { dh: Float64Array; dB: Float64Array } {
  const dh = matmulReference(dy, B, { m: rows, n: r, k: out, layout: "NN" });
  const dB = matmulReference(dy, h, { m: out, n: r, k: rows, layout: "TN" });
  return { dh: dh.map((value) => scale * value), dB };
}
