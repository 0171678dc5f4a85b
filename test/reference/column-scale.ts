/** x[r, c] · scale[c], in f64. */
export function columnScaleReference(x: ArrayLike<number>, scale: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (value, i) => value * (scale[i % scale.length] as number));
}
