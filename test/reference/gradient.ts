/**
 * Central differences of sum(dy · f(x)) with respect to each element of x: the oracle of every backward pass.
 * f is an f64 forward; h balances truncation (h²) against rounding (ε/h).
 */
export function centralDifferences(
  f: (x: Float64Array) => ArrayLike<number>,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
): Float64Array {
  const at = Float64Array.from(x);
  const gradient = new Float64Array(at.length);
  for (let i = 0; i < at.length; i++) {
    const value = at[i] as number;
    const h = 1e-5 * Math.max(1, Math.abs(value));
    at[i] = value + h;
    const above = dot(f(at), dy);
    at[i] = value - h;
    const below = dot(f(at), dy);
    at[i] = value;
    gradient[i] = (above - below) / (2 * h);
  }
  return gradient;
}

/** The same of a function that takes each of the rows by itself: a row at a time, since nothing else would change. */
export function centralDifferencesOfRows(
  f: (row: Float64Array) => ArrayLike<number>,
  x: Float64Array,
  dy: Float64Array,
  rows: number,
): Float64Array {
  const rowOf = (all: Float64Array, i: number) => {
    const width = all.length / rows;
    return all.subarray(i * width, (i + 1) * width);
  };
  const gradients = Array.from({ length: rows }, (_, i) => centralDifferences(f, rowOf(x, i), rowOf(dy, i)));
  return Float64Array.from(gradients.flatMap((row) => [...row]));
}

/** Inner product in f64. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Deterministic values, roughly normal, rounded to f32 so that device and reference see the same numbers. */
export function randomValues(count: number, seed: number, scale = 1): Float64Array {
  let state = seed * 2654435761 + 12345;
  const uniform = () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
  return Float64Array.from({ length: count }, () =>
    Math.fround((uniform() + uniform() + uniform() + uniform() - 2) * 1.73 * scale),
  );
}
