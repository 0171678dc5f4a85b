/** y = x / √(mean(x²) + eps) · (offset + w), row by row, in f64. */
export function rmsNormReference(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  eps: number,
  offset = 0,
): Float64Array {
  const cols = w.length;
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += cols) {
    let sum = 0;
    for (let i = 0; i < cols; i++) sum += (x[base + i] as number) ** 2;
    const rstd = 1 / Math.sqrt(sum / cols + eps);
    for (let i = 0; i < cols; i++) y[base + i] = (x[base + i] as number) * rstd * (offset + (w[i] as number));
  }
  return y;
}
