/** A cache `[B, capacity, width]` with the tokens `[B, T, width]` behind the first `ends[b]` of each row, as far as they fit. */
export function cacheAppendReference(
  cache: ArrayLike<number>,
  tokens: ArrayLike<number>,
  { ends, length, capacity, width }: { ends: number[]; length: number; capacity: number; width: number },
): number[] {
  const y = Array.from(cache);
  for (const [b, end] of ends.entries()) {
    for (let t = 0; t < length && end + t < capacity; t++) {
      for (let i = 0; i < width; i++)
        y[(b * capacity + end + t) * width + i] = tokens[(b * length + t) * width + i] as number;
    }
  }
  return y;
}
