import shader from "../../shaders/orthogonality.wgsl";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { reductionSize } from "./launch.ts";
import { matmul } from "./matmul.ts";

/** What {@link orthogonality} adds to, and how much of it. */
export interface OrthogonalitySums {
  /** Factor of the norm. */
  readonly weight: number;
  /** `[1]` f32 */
  readonly total: Tensor;
  /** Like x: where the gradient is added; not computed where it is absent. */
  readonly gradient?: Tensor | undefined;
}

/**
 * How far rows or columns are from being orthogonal and of length 1: adds weight · ‖x xᵀ − I‖ (Frobenius) to `total`, of
 * columns with xᵀ x, and its gradient, weight · 2 (x xᵀ − I) x / ‖x xᵀ − I‖, to `gradient`.
 * @param x `[rows, columns]` f32
 */
export function orthogonality(
  x: Tensor,
  of: "rows" | "columns",
  { weight, total, gradient }: OrthogonalitySums,
): void {
  const { device } = x;
  if (gradient && gradient.size !== x.size)
    fail("orthogonality", `[${x.shape}] and its gradient [${gradient.shape}] differ`);
  scoped(device, () => {
    const gram = matmul(x, x, { layout: of === "rows" ? "NT" : "TN" });
    device.run(shader, "forward", {
      bind: { gram, total },
      params: { rows: gram.rows, weight },
      constants: { WG: reductionSize(device, gram.size) },
      grid: [1],
      changing: true, // the weight has the terms of a step
    });
    if (gradient) {
      const [a, b] = of === "rows" ? [gram, x] : [x, gram];
      matmul(a, b, { layout: "NN", into: gradient });
    }
    return undefined;
  });
}
