type Shape = readonly [batch: number, tokens: number, cols: number];

/** Weight of token t of n, by kind. */
const WEIGHTS = {
  mean: (n: number) => 1 / n,
  mean_sqrt_len_tokens: (n: number) => 1 / Math.sqrt(n),
  weightedmean: (n: number, t: number) => (t + 1) / ((n * (n + 1)) / 2),
};

/** Weighted sum of x `[B, T, cols]` over the first lengths[b] tokens, in f64. */
export function meanPoolReference(
  x: ArrayLike<number>,
  [batch, tokens, cols]: Shape,
  lengths: readonly number[] = Array.from({ length: batch }, () => tokens),
  kind: keyof typeof WEIGHTS = "mean",
): Float64Array {
  const y = new Float64Array(batch * cols);
  lengths.forEach((length, b) => {
    for (let t = 0; t < length; t++) {
      const weight = WEIGHTS[kind](length, t);
      for (let c = 0; c < cols; c++) y[b * cols + c]! += weight * (x[(b * tokens + t) * cols + c] as number);
    }
  });
  return y;
}

/** Maximum of x `[B, T, cols]` over the first lengths[b] tokens, in f64. */
export function maxPoolReference(
  x: ArrayLike<number>,
  [batch, tokens, cols]: Shape,
  lengths: readonly number[] = Array.from({ length: batch }, () => tokens),
): Float64Array {
  return Float64Array.from({ length: batch * cols }, (_, i) => {
    const [b, c] = [Math.floor(i / cols), i % cols];
    const values = Array.from({ length: lengths[b] as number }, (_, t) => x[(b * tokens + t) * cols + c]);
    return Math.max(...(values as number[]));
  });
}
