/** y[n, c, r, u] = x[n, r, c, u], in f64. */
export function swapAxesReference(
  x: ArrayLike<number>,
  { rows, cols, unit }: { rows: number; cols: number; unit: number },
): Float64Array {
  const y = new Float64Array(x.length);
  for (let n = 0; n < x.length; n += rows * cols * unit) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        for (let u = 0; u < unit; u++)
          y[n + (c * rows + r) * unit + u] = x[n + (r * cols + c) * unit + u] as number;
      }
    }
  }
  return y;
}
