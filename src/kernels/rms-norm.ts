import shader from "../../shaders/rms-norm.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { reductionSize } from "./launch.ts";

/** Options of RMSNorm. */
export interface RmsNormOptions {
  /** Added to the mean square; `rms_norm_eps` of the model's config. */
  eps: number;
  /** Added to the weight: 1 for families whose checkpoints store `w - 1`, else 0. */
  offset?: number;
}

/**
 * y = x · rstd · (offset + w), rstd = 1/√(mean(x²) + eps) over the last axis.
 * @param x `[..., cols]` f32
 * @param weight `[cols]` f32
 * @returns y like x, and rstd `[rows]`, which the backward pass needs.
 */
export function rmsNorm(
  x: Tensor,
  weight: Tensor,
  { eps, offset = 0 }: RmsNormOptions,
): { y: Tensor; rstd: Tensor } {
  checkWeight(x, weight);
  const y = empty(x.device, x.shape);
  const rstd = empty(x.device, [x.rows]);
  x.device.run(shader, "forward", {
    bind: { x, w: weight, y, rstd_out: rstd },
    params: { rows: x.rows, cols: x.columns, eps },
    constants: { OFFSET: offset, WG: reductionSize(x.device, x.columns) },
    grid: foldGrid(x.rows),
  });
  return { y, rstd };
}

/** What RMSNorm's backward pass reads: the forward's inputs and its rstd. */
export interface RmsNormSaved extends RmsNormOptions {
  x: Tensor;
  weight: Tensor;
  rstd: Tensor;
}

/** dL/dx, added to `into` where given. */
export function rmsNormBackward(
  dy: Tensor,
  { x, weight, rstd, eps, offset = 0 }: RmsNormSaved,
  into?: Tensor,
): Tensor {
  const dx = into ?? empty(x.device, x.shape);
  x.device.run(shader, "backward", {
    bind: { x, w: weight, rstd, dy, dx },
    params: { rows: x.rows, cols: x.columns, eps },
    constants: { OFFSET: offset, ACCUMULATE: into !== undefined, WG: reductionSize(x.device, x.columns) },
    grid: foldGrid(x.rows),
  });
  return dx;
}

/** dL/dw, added to `into` where given. */
export function rmsNormBackwardWeight(
  dy: Tensor,
  { x, weight, rstd, eps }: RmsNormSaved,
  into?: Tensor,
): Tensor {
  const dw = into ?? empty(x.device, weight.shape);
  x.device.run(shader, "backward_weight", {
    bind: { x, rstd, dy, dw },
    params: { rows: x.rows, cols: x.columns, eps },
    constants: { ACCUMULATE: into !== undefined, WG: reductionSize(x.device, x.rows) },
    grid: [x.columns],
  });
  return dw;
}

function checkWeight(x: Tensor, weight: Tensor): void {
  if (weight.size !== x.columns) {
    fail("rmsNorm", `weight is [${weight.shape}], expected [${x.columns}] (last axis of x [${x.shape}])`);
  }
}
