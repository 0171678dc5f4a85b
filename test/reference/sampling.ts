/** Index of the first largest value of each row. */
export function argmaxReference(x: Float64Array, cols: number): number[] {
  return Array.from({ length: x.length / cols }, (_, row) => {
    const values = x.subarray(row * cols, (row + 1) * cols);
    return values.indexOf(values.reduce((a, b) => Math.max(a, b)));
  });
}
