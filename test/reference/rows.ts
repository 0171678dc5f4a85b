/** Rows `index` of a matrix with `cols` columns. */
export function gatherRowsReference(
  x: ArrayLike<number>,
  index: readonly number[],
  cols: number,
): Float64Array {
  return Float64Array.from({ length: index.length * cols }, (_, i) => {
    const row = index[Math.floor(i / cols)] as number;
    return x[row * cols + (i % cols)] as number;
  });
}
