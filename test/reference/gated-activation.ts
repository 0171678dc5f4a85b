const activations = {
  silu: (x: number) => x / (1 + Math.exp(-x)),
  gelu_tanh: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

/** y = act(gate) · up, in f64. */
export function gatedActivationReference(
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  activation: keyof typeof activations,
): Float64Array {
  return Float64Array.from(gate, (value, i) => activations[activation](value) * (up[i] as number));
}
