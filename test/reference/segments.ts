/** First value and end. */
export type Range = readonly [first: number, end: number];

/** factor · Σ of the values of each range, in f64. */
export function segmentSumsReference(
  values: ArrayLike<number>,
  ranges: readonly Range[],
  factors: ArrayLike<number>,
): Float64Array {
  return Float64Array.from(ranges, ([first, end], s) => {
    let sum = 0;
    for (let i = first; i < end; i++) sum += values[i] as number;
    return sum * (factors[s] as number);
  });
}
