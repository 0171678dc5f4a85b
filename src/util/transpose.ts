type Values = Float32Array | Uint32Array | Uint16Array;

/** A matrix `[rows, cols]`, row by row, as its transpose `[cols, rows]`. */
export function transpose<T extends Values>(matrix: T, rows: number, cols: number): T {
  return rows === 0 ? (matrix.slice() as T) : transposeBand(matrix, cols, 0, cols);
}

/** Rows [first, last) of the transpose of a matrix with rows of `cols`. */
export function transposeBand<T extends Values>(matrix: T, cols: number, first: number, last: number): T {
  const rows = matrix.length / cols;
  const band = new (matrix.constructor as new (length: number) => T)((last - first) * rows);
  for (let r = 0; r < rows; r++)
    for (let c = first; c < last; c++) band[(c - first) * rows + r] = matrix[r * cols + c] as number;
  return band;
}
