import { activations } from "./activation.ts";

/** y = act(gate) · up, in f64. */
export function gatedActivationReference(
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  activation: keyof typeof activations,
): Float64Array {
  return Float64Array.from(gate, (value, i) => activations[activation](value) * (up[i] as number));
}
