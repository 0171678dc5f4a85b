/** A low-rank update: s · B A with A `[r, columns]` and B `[rows, r]`. */
interface Update {
  A: ArrayLike<number>;
  B: ArrayLike<number>;
  columns: number;
  scale: number;
}

/** ‖W + s B A‖ of each row of W `[rows, columns]`, the sum put together, in f64. */
export function rowNormsReference(w: ArrayLike<number>, { A, B, columns, scale }: Update): Float64Array {
  const rows = w.length / columns;
  const r = A.length / columns;
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let c = 0; c < columns; c++) {
      let value = w[row * columns + c]!;
      for (let k = 0; k < r; k++) value += scale * B[row * r + k]! * A[k * columns + c]!;
      sum += value * value;
    }
    return Math.sqrt(sum);
  });
}
