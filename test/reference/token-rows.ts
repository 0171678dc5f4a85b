/** y with x[m, j] added at column tokens[j] of each row. */
export function addToColumnsReference(
  y: ArrayLike<number>,
  x: ArrayLike<number>,
  tokens: readonly number[],
  cols: number,
): Float64Array {
  const sum = Float64Array.from(y);
  for (let i = 0; i < x.length; i++) {
    sum[Math.floor(i / tokens.length) * cols + tokens[i % tokens.length]!]! += x[i] as number;
  }
  return sum;
}
