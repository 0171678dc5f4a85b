import type { Tensor } from "../gpu/tensor.ts";
import { biasGradient } from "../kernels/elementwise.ts";
import {
  type LayerNormOptions,
  layerNormBackward,
  layerNormBackwardWeight,
  layerNorm as layerNormKernel,
} from "../kernels/layer-norm.ts";
import {
  type RmsNormOptions,
  type RmsNormSaved,
  rmsNormBackward,
  rmsNormBackwardWeight,
  rmsNorm as rmsNormKernel,
  rmsNormOfSum as rmsNormOfSumKernel,
} from "../kernels/rms-norm.ts";
import { passOn, type Tape } from "./tape.ts";

/** x · rstd · (offset + w) over the last axis. Saves x and rstd. */
export function rmsNorm(tape: Tape | undefined, x: Tensor, weight: Tensor, options: RmsNormOptions): Tensor {
  const { y, rstd } = rmsNormKernel(x, weight, options);
  recordRmsNorm(tape, y, { x, weight, rstd, ...options });
  return y;
}

/** sum = x + residual and its {@link rmsNorm} in one dispatch; two nodes, since the sum also goes around the norm. */
export function rmsNormOfSum(
  tape: Tape | undefined,
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  options: RmsNormOptions,
): { sum: Tensor; y: Tensor } {
  const { sum, y, rstd } = rmsNormOfSumKernel(x, residual, weight, options);
  tape?.record(sum, [x, residual], [], (dy, give) => {
    give(x, (into) => passOn(dy, into));
    give(residual, (into) => passOn(dy, into));
  });
  recordRmsNorm(tape, y, { x: sum, weight, rstd, ...options });
  return { sum, y };
}

function recordRmsNorm(tape: Tape | undefined, y: Tensor, saved: RmsNormSaved): void {
  const { x, weight, rstd } = saved;
  const again = () => rmsNormKernel(x, weight, saved).y;
  tape?.record(y, [x, weight], { exact: [weight, rstd], coarse: [x], again }, (dy, give) => {
    give(x, (into) => rmsNormBackward(dy, saved, into));
    give(weight, (into) => rmsNormBackwardWeight(dy, saved, into));
  });
}

/** (x − mean) · rstd · w + b over the last axis. Saves x and the row statistics. */
export function layerNorm(
  tape: Tape | undefined,
  x: Tensor,
  { weight, bias }: { weight: Tensor; bias: Tensor },
  options: LayerNormOptions,
): Tensor {
  const { y, stats } = layerNormKernel(x, weight, bias, options);
  const saved = { x, weight, stats };
  const again = () => layerNormKernel(x, weight, bias, options).y;
  return (
    tape?.record(y, [x, weight, bias], { exact: [weight, bias, stats], coarse: [x], again }, (dy, give) => {
      give(x, (into) => layerNormBackward(dy, saved, into));
      give(weight, (into) => layerNormBackwardWeight(dy, saved, into));
      give(bias, (into) => biasGradient(dy, into));
    }) ?? y
  );
}
