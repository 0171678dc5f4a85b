/** How numbers are distributed, in buckets of equal width. */
export interface Distribution {
  /** The least of them; 0 where there are none. */
  readonly min: number;
  /** The greatest; 0 where there are none. */
  readonly max: number;
  /** How many there are. */
  readonly count: number;
  /** Their sum. */
  readonly sum: number;
  /** Sum of their squares. */
  readonly squares: number;
  /** The width of a bucket; the first begins at the least value. */
  readonly width: number;
  /** How many are in each bucket. */
  readonly buckets: readonly number[];
}

/** As many as TensorBoard makes of what it is given. */
const BUCKETS = 30;

/** How numbers are distributed; those that are not finite are left out. */
export function distributionOf(values: ArrayLike<number>): Distribution {
  let [min, max, count, sum, squares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) continue;
    [min, max] = [Math.min(min, value), Math.max(max, value)];
    count++;
    sum += value;
    squares += value * value;
  }
  if (count === 0) [min, max] = [0, 0];
  const width = (max - min) / BUCKETS || Math.max(Math.abs(max), 1) * 1e-6;
  const buckets = new Array<number>(BUCKETS).fill(0);
  for (let i = 0; i < values.length; i++) {
    const place = Math.floor(((values[i] as number) - min) / width);
    if (Number.isFinite(place)) buckets[Math.min(BUCKETS - 1, place)]!++;
  }
  return { min, max, count, sum, squares, width, buckets };
}
