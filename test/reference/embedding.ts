/** Row ids[n] of a table with `cols` columns for each n; zeros where there is no such row. */
export function embeddingReference(
  table: ArrayLike<number>,
  ids: ArrayLike<number>,
  cols: number,
): Float64Array {
  const y = new Float64Array(ids.length * cols);
  for (let n = 0; n < ids.length; n++) {
    for (let i = 0; i < cols; i++) y[n * cols + i] = table[(ids[n] as number) * cols + i] ?? 0;
  }
  return y;
}
