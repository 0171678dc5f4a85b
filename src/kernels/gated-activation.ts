import shader from "../../shaders/gated-activation.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { runElements } from "./launch.ts";

/** y = act(gate) · up. All of one shape, f32. */
export function gatedActivation(gate: Tensor, up: Tensor, activation: Activation = "silu"): Tensor {
  checkSizes(gate, up);
  const y = emptyLike(gate);
  const constants = { ACTIVATION: ACTIVATIONS[activation] };
  runElements(gate.device, shader, "forward", { bind: { gate, up, y }, constants });
  return y;
}

/** What the backward pass reads: the forward's inputs. */
export interface GatedActivationSaved {
  gate: Tensor;
  up: Tensor;
  activation?: Activation;
}

/** dL/dgate and dL/dup. */
export function gatedActivationBackward(
  dy: Tensor,
  { gate, up, activation = "silu" }: GatedActivationSaved,
): { dgate: Tensor; dup: Tensor } {
  checkSizes(gate, dy);
  const dgate = emptyLike(gate);
  const dup = emptyLike(up);
  const constants = { ACTIVATION: ACTIVATIONS[activation] };
  runElements(gate.device, shader, "backward", { bind: { gate, up, dy, dgate, dup }, constants });
  return { dgate, dup };
}

function checkSizes(gate: Tensor, other: Tensor): void {
  if (gate.size !== other.size)
    fail("gatedActivation", `[${gate.shape}] and [${other.shape}] differ in size`);
}
