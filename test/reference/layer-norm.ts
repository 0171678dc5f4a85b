/** y = (x − mean) / √(variance + eps) · w + b, row by row, in f64. */
export function layerNormReference(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  b: ArrayLike<number>,
  eps: number,
): Float64Array {
  const cols = w.length;
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += cols) {
    let mean = 0;
    for (let i = 0; i < cols; i++) mean += (x[base + i] as number) / cols;
    let variance = 0;
    for (let i = 0; i < cols; i++) variance += ((x[base + i] as number) - mean) ** 2 / cols;
    const rstd = 1 / Math.sqrt(variance + eps);
    for (let i = 0; i < cols; i++) {
      y[base + i] = ((x[base + i] as number) - mean) * rstd * (w[i] as number) + (b[i] as number);
    }
  }
  return y;
}
