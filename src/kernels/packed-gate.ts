import shader from "../../shaders/packed-gate.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { perElement } from "./launch.ts";

/** How gates and ups lie in a row, and what becomes of them. */
export interface PackedGate {
  activation: Activation;
  /** `halves`: all gates, then all ups. `pairs`: a gate and its up are neighbours. */
  layout: "halves" | "pairs";
  /**
   * Gates are at most this, ups between it and its negative, and 1 is added to them (gpt-oss, arXiv 2508.10925); 0: they are
   * taken as they are.
   */
  limit: number;
}

/** y = act(gate) · up. @param x `[..., 2n]` f32, gates and ups of each row @returns `[..., n]` */
export function packedGate(x: Tensor, gate: PackedGate): Tensor {
  const y = empty(x.device, [...x.shape.slice(0, -1), x.columns / 2]);
  x.device.run(shader, "forward", { bind: { x, y }, ...launch(y, gate) });
  return y;
}

/** dL/dx. @param dy `[..., n]` @param x what the forward pass had */
export function packedGateBackward(dy: Tensor, x: Tensor, gate: PackedGate): Tensor {
  if (2 * dy.size !== x.size) fail("packedGateBackward", `dy is [${dy.shape}], and x [${x.shape}]`);
  const dx = empty(x.device, x.shape);
  x.device.run(shader, "backward", { bind: { x, dy, dx }, ...launch(dy, gate) });
  return dx;
}

function launch(y: Tensor, { activation, layout, limit }: PackedGate) {
  const { WG, grid } = perElement(y.device, y.size);
  return {
    params: { count: y.size, columns: y.columns },
    constants: { ACTIVATION: ACTIVATIONS[activation], PAIRS: layout === "pairs", LIMIT: limit, WG },
    grid,
  };
}
