/** Index of the first largest value of each row; −1 where that is not finite. */
export function argmaxReference(x: Float64Array, cols: number): number[] {
  return Array.from({ length: x.length / cols }, (_, row) => {
    const values = x.subarray(row * cols, (row + 1) * cols);
    const largest = values.reduce((a, b) => Math.max(a, b)); // NaN where one is
    return Number.isFinite(largest) ? values.indexOf(largest) : -1;
  });
}
