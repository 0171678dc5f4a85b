import shader from "../../shaders/expert-mix.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { perElement, reductionSize, rowWidth } from "./launch.ts";

/** y[t] = Σ weights[t, k] · x[t, k]: each token's result out of its experts'. @param x `[T · K, d]` @param weights `[T, K]` */
export function mixExperts(x: Tensor, weights: Tensor): Tensor {
  const { rows: tokens, columns: chosen } = weights;
  if (x.rows !== weights.size) fail("mixExperts", `x is [${x.shape}] for weights [${weights.shape}]`);
  const y = empty(x.device, [tokens, x.columns]);
  launchMix(x, y, chosen, { weights });
  return y;
}

/** y[t] = Σ x[t, k], or `into` with that added. @param x `[T · K, d]` @param chosen K */
export function sumChoices(x: Tensor, chosen: number, into?: Tensor): Tensor {
  const y = into ?? empty(x.device, [x.rows / chosen, x.columns]);
  launchMix(x, y, chosen, { into });
  return y;
}

function launchMix(
  x: Tensor,
  y: Tensor,
  chosen: number,
  given: { weights?: Tensor; into?: Tensor | undefined },
) {
  const { weights = x, into } = given;
  const { width, count, elem, WG, grid } = perElement(x.device, y.size, x.columns);
  x.device.run(shader, "forward", {
    bind: { x, weights, y },
    params: { count, columns: x.columns / width, chosen },
    constants: { elem, WG, PLAIN: !given.weights, ACCUMULATE: into !== undefined },
    grid,
  });
}

/** dL/dx `[T · K, d]` of {@link mixExperts}. @param dy `[T, d]` */
export function mixExpertsBackward(dy: Tensor, weights: Tensor): Tensor {
  const { size, columns: chosen } = weights;
  const dx = empty(dy.device, [size, dy.columns]);
  const { width, count, elem, WG, grid } = perElement(dy.device, dx.size, dy.columns);
  dy.device.run(shader, "backward", {
    bind: { weights, dy, dx },
    params: { count, columns: dy.columns / width, chosen },
    constants: { elem, WG },
    grid,
  });
  return dx;
}

/** dL/dweights `[T, K]` of {@link mixExperts}. @param dy `[T, d]` @param x `[T · K, d]` */
export function mixWeightsBackward(dy: Tensor, x: Tensor): Tensor {
  const chosen = x.rows / dy.rows;
  const dweights = empty(dy.device, [dy.rows, chosen]);
  const { width, elem } = rowWidth(dy.columns);
  dy.device.run(shader, "backward_weights", {
    bind: { x, dy, d_weights: dweights },
    params: { count: x.rows, columns: dy.columns / width, chosen },
    constants: { elem, WG: reductionSize(dy.device, dy.columns), IS_VECTOR: width === 4 },
    grid: foldGrid(x.rows),
  });
  return dweights;
}
