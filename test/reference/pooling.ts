/** Mean of x `[B, T, cols]` over the first lengths[b] tokens, in f64. */
export function meanPoolReference(
  x: ArrayLike<number>,
  [batch, tokens, cols]: readonly [number, number, number],
  lengths: readonly number[] = Array.from({ length: batch }, () => tokens),
): Float64Array {
  const y = new Float64Array(batch * cols);
  lengths.forEach((length, b) => {
    for (let t = 0; t < length; t++)
      for (let c = 0; c < cols; c++) y[b * cols + c]! += (x[(b * tokens + t) * cols + c] as number) / length;
  });
  return y;
}
