import { matmulReference } from "./matmul.ts";

/** A layer as arrays: weight `[n, inputs]`, and B `[n, r]` with its own columns of h `[rows, r]`. */
export interface SiblingArrays {
  n: number;
  weight: ArrayLike<number>;
  branch?: { r: number; B: ArrayLike<number>; h: ArrayLike<number> };
}

/** y = x Wᵀ + h Bᵀ of each layer, in f64. */
export function siblingProductsReference(
  x: ArrayLike<number>,
  layers: readonly SiblingArrays[],
  { rows, inputs }: { rows: number; inputs: number },
): Float64Array[] {
  return layers.map(({ n, weight, branch }) => {
    const y = matmulReference(x, weight, { m: rows, n, k: inputs, layout: "NT" });
    const extra = branch && matmulReference(branch.h, branch.B, { m: rows, n, k: branch.r, layout: "NT" });
    return extra ? y.map((value, i) => value + (extra[i] as number)) : y;
  });
}

/** dx = Σ dy W + dh A: the gradient of sum(dy · y) with respect to x, with h = x Aᵀ. */
export function siblingInputGradientReference(
  layers: readonly { n: number; weight: ArrayLike<number>; dy: ArrayLike<number> }[],
  branch: { r: number; dh: ArrayLike<number>; A: ArrayLike<number> } | undefined,
  { rows, inputs }: { rows: number; inputs: number },
): Float64Array {
  const sizes = { m: rows, n: inputs, layout: "NN" } as const;
  const parts = layers.map(({ n, weight, dy }) => matmulReference(dy, weight, { ...sizes, k: n }));
  if (branch) parts.push(matmulReference(branch.dh, branch.A, { ...sizes, k: branch.r }));
  return Float64Array.from({ length: rows * inputs }, (_, i) =>
    parts.reduce((sum, part) => sum + (part[i] as number), 0),
  );
}
