import { transpose } from "../transpose.ts";
import { columns, type Matrix, matrix } from "./matrix.ts";

/** A large matrix `[rows, cols]` in f32, row after row, as the weights of a checkpoint are. */
export interface Dense {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array;
}

/** The transpose, as a copy. */
export function transposedDense({ rows, cols, values }: Dense): Dense {
  return { rows: cols, cols: rows, values: transpose(values, rows, cols) };
}

/** a · x in f64. Four columns are computed at a time, so that a is read once for all of them. */
export function denseProduct(a: Dense, x: Matrix): Matrix {
  const result = matrix(a.rows, x.cols);
  for (let j = 0; j < x.cols; j += 4) fourColumns(a, x, result, j);
  return result;
}

/** Columns that are beyond the last are computed from it again. */
function fourColumns({ rows, cols, values }: Dense, x: Matrix, out: Matrix, first: number): void {
  const at = [0, 1, 2, 3].map((i) => Math.min(first + i, x.cols - 1));
  const [a, b, c, d] = at.map((j) => columns(x, j)) as Four;
  const [outA, outB, outC, outD] = at.map((j) => columns(out, j)) as Four;
  for (let i = 0; i < rows; i++) {
    let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0];
    const start = i * cols;
    for (let k = 0; k < cols; k++) {
      const value = values[start + k]!;
      sumA += value * a[k]!;
      sumB += value * b[k]!;
      sumC += value * c[k]!;
      sumD += value * d[k]!;
    }
    outA[i] = sumA;
    outB[i] = sumB;
    outC[i] = sumC;
    outD[i] = sumD;
  }
}

type Four = [Float64Array, Float64Array, Float64Array, Float64Array];
