import shader from "../../shaders/activation.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { runElements } from "./launch.ts";

/** y = act(x), element by element. f32. */
export function activate(x: Tensor, activation: Activation): Tensor {
  const y = emptyLike(x);
  const constants = { ACTIVATION: ACTIVATIONS[activation] };
  runElements(x.device, shader, "forward", { bind: { x, y }, constants });
  return y;
}

/** What the backward pass reads: the forward's input. */
export interface ActivationSaved {
  x: Tensor;
  activation: Activation;
}

/** dL/dx = dy · act'(x), added to `into` where given. */
export function activateBackward(dy: Tensor, { x, activation }: ActivationSaved, into?: Tensor): Tensor {
  if (dy.size !== x.size) fail("activation", `dy is [${dy.shape}], expected [${x.shape}]`);
  const dx = into ?? emptyLike(x);
  const constants = { ACTIVATION: ACTIVATIONS[activation], ACCUMULATE: into !== undefined };
  runElements(x.device, shader, "backward", { bind: { x, dy, dx }, constants });
  return dx;
}
