import shader from "../../shaders/layer-norm.wgsl";
import { empty, emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { reductionSize } from "./launch.ts";
import { storedAs } from "./stored.ts";

/** Options of LayerNorm. */
export interface LayerNormOptions {
  /** Added to the variance. */
  eps: number;
}

/**
 * y = (x − mean) · rstd · w + b, rstd = 1/√(variance + eps), over the last axis.
 * @param x `[..., cols]` f32
 * @param weight `[cols]` f32
 * @param bias `[cols]` f32
 * @returns y like x, and stats `[rows, 2]`: mean and rstd, which the backward pass needs.
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { eps }: LayerNormOptions,
): { y: Tensor; stats: Tensor } {
  checkSize("weight", x, weight);
  checkSize("bias", x, bias);
  const y = emptyLike(x);
  const stats = empty(x.device, [x.rows, 2]);
  x.device.run(shader, "forward", {
    bind: { x, w: weight, b: bias, y, stats_out: stats },
    params: { rows: x.rows, cols: x.columns, eps },
    constants: { WG: reductionSize(x.device, x.columns), ...storedAs("layerNorm", "f32", [x, y]) },
    grid: foldGrid(x.rows),
  });
  return { y, stats };
}

/** What LayerNorm's backward pass reads: the forward's inputs and its statistics. */
export interface LayerNormSaved {
  x: Tensor;
  weight: Tensor;
  stats: Tensor;
}

/** dL/dx, added to `into` where given. */
export function layerNormBackward(dy: Tensor, { x, weight, stats }: LayerNormSaved, into?: Tensor): Tensor {
  const dx = into ?? emptyLike(x);
  x.device.run(shader, "backward", {
    bind: { x, w: weight, stats, dy, dx },
    params: { rows: x.rows, cols: x.columns, eps: 0 },
    constants: {
      ACCUMULATE: into !== undefined,
      WG: reductionSize(x.device, x.columns),
      ...storedAs("layerNorm", "f32", [x, dy, dx]),
    },
    grid: foldGrid(x.rows),
  });
  return dx;
}

/** dL/dw, added to `into` where given. dL/db is the sum of dy over the rows: `biasGradient`. */
export function layerNormBackwardWeight(
  dy: Tensor,
  { x, weight, stats }: LayerNormSaved,
  into?: Tensor,
): Tensor {
  const dw = into ?? empty(x.device, weight.shape);
  x.device.run(shader, "backward_weight", {
    bind: { x, stats, dy, dw },
    params: { rows: x.rows, cols: x.columns, eps: 0 },
    constants: {
      ACCUMULATE: into !== undefined,
      WG: reductionSize(x.device, x.rows),
      ...storedAs("layerNorm", "f32", [x, dy]),
    },
    grid: [x.columns],
  });
  return dw;
}

function checkSize(what: string, x: Tensor, tensor: Tensor): void {
  if (tensor.size !== x.columns) {
    fail("layerNorm", `${what} is [${tensor.shape}], expected [${x.columns}] (last axis of x [${x.shape}])`);
  }
}
