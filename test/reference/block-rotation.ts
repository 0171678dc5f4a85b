/** Skew-symmetric blocks `[blocks, size, size]` of what is above their diagonals, row by row. */
export function skewReference(v: ArrayLike<number>, size: number): Float64Array {
  const elements = (size * (size - 1)) / 2;
  const blocks = v.length / elements;
  const q = new Float64Array(blocks * size * size);
  for (let k = 0; k < blocks; k++) {
    let e = k * elements;
    for (let i = 0; i < size; i++) {
      for (let j = i + 1; j < size; j++, e++) {
        q[(k * size + i) * size + j] = v[e]!;
        q[(k * size + j) * size + i] = -v[e]!;
      }
    }
  }
  return q;
}

/** Each part of x's rows times its block of m `[blocks, size, size]`, or times the only one. */
export function blockProductReference(
  x: ArrayLike<number>,
  m: ArrayLike<number>,
  { columns, size }: { columns: number; size: number },
): Float64Array {
  const count = m.length / size ** 2;
  return Float64Array.from({ length: x.length }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const k = Math.floor(column / size);
    let sum = 0;
    for (let i = 0; i < size; i++)
      sum += x[row * columns + k * size + i]! * m[((k % count) * size + i) * size + (column % size)]!;
    return sum;
  });
}
