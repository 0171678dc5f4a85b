/** y[r, c] = x[r, start + c]. */
export function columnsReference(
  x: ArrayLike<number>,
  cols: number,
  { start, end }: { start: number; end: number },
): Float64Array {
  const rows = x.length / cols;
  const width = end - start;
  return Float64Array.from(
    { length: rows * width },
    (_, i) => x[Math.floor(i / width) * cols + start + (i % width)] as number,
  );
}
