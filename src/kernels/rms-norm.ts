import shader from "../../shaders/rms-norm.wgsl";
import { empty, emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perRow, rowWidth } from "./launch.ts";
import { storedAs } from "./stored.ts";

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
  const y = emptyLike(x);
  const rstd = empty(x.device, [x.rows]);
  x.device.run(shader, "forward", {
    bind: { x, w: weight, y, rstd_out: rstd },
    ...launchRows([x, y], { eps, offset }),
  });
  return { y, rstd };
}

/**
 * {@link rmsNorm} of x + residual in one pass: what follows a residual connection.
 * @returns also the sum, like x
 */
export function rmsNormOfSum(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  { eps, offset = 0 }: RmsNormOptions,
): { sum: Tensor; y: Tensor; rstd: Tensor } {
  checkWeight(x, weight);
  if (residual.size !== x.size) fail("rmsNormOfSum", `[${x.shape}] and [${residual.shape}] differ in size`);
  const [sum, y] = [emptyLike(x), emptyLike(x)];
  const rstd = empty(x.device, [x.rows]);
  x.device.run(shader, "forward_sum", {
    bind: { x, residual, w: weight, y, rstd_out: rstd, sum_out: sum },
    ...launchRows([x, residual, y], { eps, offset }),
  });
  return { sum, y, rstd };
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
  const dx = into ?? emptyLike(x);
  const { params, constants, grid } = launchRows([x, dy, dx], { eps, offset });
  x.device.run(shader, "backward", {
    bind: { x, w: weight, rstd, dy, dx },
    params,
    constants: { ...constants, ACCUMULATE: into !== undefined },
    grid,
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
  const { width, elem } = rowWidth(x.columns);
  const [WG, LINES] = x.device.profile.sharesWork ? [256, 16] : [8, 1];
  x.device.run(shader, "backward_weight", {
    bind: { x, rstd, dy, dw },
    params: { rows: x.rows, cols: x.columns / width, eps },
    constants: {
      ...{ elem, WIDTH: width, WG, LINES, ACCUMULATE: into !== undefined },
      ...storedAs("rmsNorm", elem, [x, dy]),
    },
    grid: [Math.ceil(x.columns / width / (WG / LINES))],
  });
  return dw;
}

/** Launch of the kernels that go along rows, those of x and of what is like it. */
function launchRows(
  [x, ...others]: readonly [Tensor, ...Tensor[]],
  { eps, offset }: Required<RmsNormOptions>,
) {
  const { width, elem, WG, LANES, grid } = perRow(x.device, x.rows, x.columns);
  const stored = storedAs("rmsNorm", elem, [x, ...others]);
  return {
    params: { rows: x.rows, cols: x.columns / width, eps },
    constants: { elem, WIDTH: width, WG, LANES, OFFSET: offset, ...stored },
    grid,
  };
}

function checkWeight(x: Tensor, weight: Tensor): void {
  if (weight.size !== x.columns) {
    fail("rmsNorm", `weight is [${weight.shape}], expected [${x.columns}] (last axis of x [${x.shape}])`);
  }
}
