/** y[t] = Σ weights[t, k] · x[t, k], in f64. x is `[T, K, columns]`. */
export function expertMixReference(
  x: ArrayLike<number>,
  weights: ArrayLike<number>,
  { tokens, chosen, columns }: { tokens: number; chosen: number; columns: number },
): Float64Array {
  const y = new Float64Array(tokens * columns);
  for (let choice = 0; choice < tokens * chosen; choice++) {
    const token = Math.floor(choice / chosen);
    for (let i = 0; i < columns; i++) {
      y[token * columns + i]! += (weights[choice] as number) * (x[choice * columns + i] as number);
    }
  }
  return y;
}
