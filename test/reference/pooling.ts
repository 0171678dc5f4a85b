/** First token, counted over all rows of the batch, and number of tokens. */
export type Range = readonly [first: number, count: number];

/** Weight of token t of n, by kind. */
const WEIGHTS = {
  mean: (n: number) => 1 / n,
  mean_sqrt_len_tokens: (n: number) => 1 / Math.sqrt(n),
  weightedmean: (n: number, t: number) => (t + 1) / ((n * (n + 1)) / 2),
};

/** Weighted sum of x `[tokens, cols]` over the tokens of each document, in f64. */
export function meanPoolReference(
  x: ArrayLike<number>,
  cols: number,
  documents: readonly Range[],
  kind: keyof typeof WEIGHTS = "mean",
): Float64Array {
  const y = new Float64Array(documents.length * cols);
  documents.forEach(([first, count], n) => {
    for (let t = 0; t < count; t++) {
      const weight = WEIGHTS[kind](count, t);
      for (let c = 0; c < cols; c++) y[n * cols + c]! += weight * (x[(first + t) * cols + c] as number);
    }
  });
  return y;
}

/** Maximum of x `[tokens, cols]` over the tokens of each document, in f64. */
export function maxPoolReference(
  x: ArrayLike<number>,
  cols: number,
  documents: readonly Range[],
): Float64Array {
  return Float64Array.from({ length: documents.length * cols }, (_, i) => {
    const [first, count] = documents[Math.floor(i / cols)] as Range;
    const values = Array.from({ length: count }, (_, t) => x[(first + t) * cols + (i % cols)]);
    return Math.max(...(values as number[]));
  });
}
