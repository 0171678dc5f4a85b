/** A matrix `[rows, cols]`, row by row, as its transpose `[cols, rows]`. */
export function transpose<T extends Float32Array | Uint32Array | Uint16Array>(
  matrix: T,
  rows: number,
  cols: number,
): T {
  const result = matrix.slice() as T;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) result[c * rows + r] = matrix[r * cols + c] as number;
  return result;
}
