/** Sum of `slices` matrices that lie one behind another, in f64. */
export function splitSumReference(parts: ArrayLike<number>, slices: number): Float64Array {
  const size = parts.length / slices;
  const sum = new Float64Array(size);
  for (let i = 0; i < parts.length; i++) sum[i % size]! += parts[i] as number;
  return sum;
}
