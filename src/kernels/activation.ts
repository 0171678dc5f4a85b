import shader from "../../shaders/activation.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { runElements } from "./launch.ts";

/** Values of the shaders' `ACTIVATION`. A new activation is a number here and a branch in common/activation.wgsl, twice. */
export const ACTIVATIONS = {
  silu: 0,
  gelu_tanh: 1,
  gelu: 2,
  relu: 3,
  relu2: 4,
  quick_gelu: 5,
  tanh: 6,
} as const;

/**
 * `gelu` is the exact one with erf (BERT, ViT), `gelu_tanh` its approximation (GPT-2's `gelu_new`, Gemma's
 * `gelu_pytorch_tanh`), `quick_gelu` x · sigmoid(1.702 x), `relu2` the square of relu.
 */
export type Activation = keyof typeof ACTIVATIONS;

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
