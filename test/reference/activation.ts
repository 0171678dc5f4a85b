const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** erf by its Taylor series and, far out, its continued fraction: to 1e-15, independent of the shader's formula. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 3) {
    let term = z;
    let sum = z;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction));
}

/** Activations in f64. */
export const activations = {
  silu: (x: number) => x * sigmoid(x),
  gelu_tanh: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  relu: (x: number) => Math.max(x, 0),
  relu2: (x: number) => Math.max(x, 0) ** 2,
  quick_gelu: (x: number) => x * sigmoid(1.702 * x),
  tanh: (x: number) => Math.tanh(x),
};

/** y = act(x), in f64. */
export function activationReference(
  x: ArrayLike<number>,
  activation: keyof typeof activations,
): Float64Array {
  return Float64Array.from(x, activations[activation]);
}
