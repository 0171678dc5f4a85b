/** Columns [start, end) of a matrix with `cols` columns. */
export function sliceColumnsReference(
  x: ArrayLike<number>,
  cols: number,
  [start, end]: readonly [number, number],
): Float64Array {
  const narrow = end - start;
  return Float64Array.from({ length: (x.length / cols) * narrow }, (_, i) => {
    return x[Math.floor(i / narrow) * cols + start + (i % narrow)] as number;
  });
}
