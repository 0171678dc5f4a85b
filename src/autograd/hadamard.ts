import type { Tensor } from "../gpu/tensor.ts";
import { multiply } from "../kernels/elementwise.ts";
import { matmul } from "../kernels/matmul.ts";
import type { Tape } from "./tape.ts";

/** Two products of low rank: (a1 b1) ⊙ (a2 b2). */
export interface HadamardFactors {
  /** `[out, r]` each. */
  readonly a1: Tensor;
  readonly a2: Tensor;
  /** `[r, in]` each. */
  readonly b1: Tensor;
  readonly b2: Tensor;
}

/** scale · (a1 b1) ⊙ (a2 b2), `[out, in]` f32. */
export function hadamardWeight({ a1, b1, a2, b2 }: HadamardFactors, scale = 1): Tensor {
  return multiply(matmul(a1, b1, { layout: "NN", alpha: scale }), matmul(a2, b2, { layout: "NN" }));
}

/**
 * y = x ((a1 b1) ⊙ (a2 b2))ᵀ, x being `[..., in]`. Saves x and the factors: the products are as large as a layer's weight and
 * are computed again for the backward pass. With G = dyᵀ x it is da1 = (G ⊙ a2 b2) b1ᵀ, db1 = a1ᵀ (G ⊙ a2 b2), and so for the others.
 */
export function hadamardLinear(tape: Tape | undefined, x: Tensor, factors: HadamardFactors): Tensor {
  const y = matmul(x, hadamardWeight(factors), { layout: "NT" });
  const { a1, b1, a2, b2 } = factors;
  return (
    tape?.record(y, [x, a1, b1, a2, b2], [x, a1, b1, a2, b2], (dy, give) => {
      const first = matmul(a1, b1, { layout: "NN" });
      const second = matmul(a2, b2, { layout: "NN" });
      give(x, (into) => matmul(dy, multiply(first, second), { layout: "NN", ...(into && { into }) }));
      const g = matmul(dy, x, { layout: "TN" });
      const halves = [
        { a: a1, b: b1, other: second },
        { a: a2, b: b2, other: first },
      ];
      for (const { a, b, other } of halves) {
        const dProduct = multiply(g, other);
        give(a, (into) => matmul(dProduct, b, { layout: "NT", ...(into && { into }) }));
        give(b, (into) => matmul(a, dProduct, { layout: "TN", ...(into && { into }) }));
      }
    }) ?? y
  );
}
