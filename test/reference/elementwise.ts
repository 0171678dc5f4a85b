/** x[r, c] + bias[c], in f64. */
export function addBiasReference(x: ArrayLike<number>, bias: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (value, i) => value + (bias[i % bias.length] as number));
}

/** a + factor · b, in f64. */
export function addReference(a: ArrayLike<number>, b: ArrayLike<number>, factor = 1): Float64Array {
  return Float64Array.from(a, (value, i) => value + factor * (b[i] as number));
}

/** cap · tanh(x / cap), in f64. */
export function softcapReference(x: ArrayLike<number>, cap: number): Float64Array {
  return Float64Array.from(x, (value) => cap * Math.tanh(value / cap));
}

/** a ⊙ b, in f64. */
export function multiplyReference(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from(a, (value, i) => value * (b[i] as number));
}
