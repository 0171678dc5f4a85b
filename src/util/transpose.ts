type Values = Float32Array | Uint32Array | Uint16Array;

/** A matrix `[rows, cols]`, row by row, as its transpose `[cols, rows]`. */
export function transpose<T extends Values>(matrix: T, rows: number, cols: number): T {
  return rows === 0 ? (matrix.slice() as T) : transposeBand(matrix, cols, 0, cols);
}

/** Matrices `[rows / count, cols]`, one below the other, as their transposes. */
export function transposeStack<T extends Values>(
  matrices: T,
  [rows = 0, cols = 0]: readonly number[],
  count = 1,
): T {
  const all = matrices.slice() as T;
  const size = (rows * cols) / count;
  for (let i = 0; i < count; i++) {
    const one = matrices.subarray(i * size, (i + 1) * size) as T;
    all.set(transpose(one, rows / count, cols), i * size);
  }
  return all;
}

/** Rows [first, last) of the transpose of a matrix with rows of `cols`. */
export function transposeBand<T extends Values>(matrix: T, cols: number, first: number, last: number): T {
  const rows = matrix.length / cols;
  const band = new (matrix.constructor as new (length: number) => T)((last - first) * rows);
  for (let r = 0; r < rows; r++)
    for (let c = first; c < last; c++) band[(c - first) * rows + r] = matrix[r * cols + c] as number;
  return band;
}
