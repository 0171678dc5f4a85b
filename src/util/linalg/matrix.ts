/**
 * A matrix in f64, column after column. The factors of adapters are tall and thin, and what is done to them is done to
 * columns.
 */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  /** `[cols, rows]`. */
  readonly data: Float64Array;
}

/** A matrix of zeros, or of these values, column after column. */
export function matrix(
  rows: number,
  cols: number,
  data: Float64Array = new Float64Array(rows * cols),
): Matrix {
  return { rows, cols, data };
}

/** The memory of columns [first, last). */
export function columns({ rows, data }: Matrix, first: number, last = first + 1): Float64Array {
  return data.subarray(first * rows, last * rows);
}

/** The first columns of a matrix: the same memory. */
export function firstColumns(m: Matrix, count: number): Matrix {
  return matrix(m.rows, count, columns(m, 0, count));
}

/** A matrix from values that lie row after row, as tensors do. */
export function fromRows(values: ArrayLike<number>, rows: number, cols: number): Matrix {
  const data = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) data[j * rows + i] = values[i * cols + j] as number;
  return { rows, cols, data };
}

/** The transpose of a matrix whose values lie row after row: the same order of values. */
export function fromTransposedRows(values: ArrayLike<number>, rows: number, cols: number): Matrix {
  return { rows: cols, cols: rows, data: Float64Array.from(values) };
}

/** The values row after row, in f32. */
export function toRows({ rows, cols, data }: Matrix): Float32Array {
  const values = new Float32Array(rows * cols);
  for (let j = 0; j < cols; j++)
    for (let i = 0; i < rows; i++) values[i * cols + j] = data[j * rows + i] as number;
  return values;
}

/** The values of the transpose row after row, in f32: the same order of values. */
export function toTransposedRows({ data }: Matrix): Float32Array {
  return Float32Array.from(data);
}

/** The transpose. */
export function transposed({ rows, cols, data }: Matrix): Matrix {
  return fromRows(data, cols, rows);
}

/** a · b. */
export function product(a: Matrix, b: Matrix): Matrix {
  const result = matrix(a.rows, b.cols);
  for (let j = 0; j < b.cols; j++) {
    const out = columns(result, j);
    for (let k = 0; k < a.cols; k++) addScaled(out, columns(a, k), b.data[j * b.rows + k] as number);
  }
  return result;
}

/** aᵀ · b. */
export function crossProduct(a: Matrix, b: Matrix): Matrix {
  const result = matrix(a.cols, b.cols);
  for (let j = 0; j < b.cols; j++)
    for (let i = 0; i < a.cols; i++) result.data[j * a.cols + i] = dot(columns(a, i), columns(b, j));
  return result;
}

/** The matrix with each column times its factor. */
export function scaleColumns(m: Matrix, factors: ArrayLike<number>): Matrix {
  const data = m.data.map((value, i) => value * (factors[Math.floor(i / m.rows)] as number));
  return { ...m, data };
}

/** √ of the sum of all squares. */
export function norm(values: Float32Array | Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return Math.sqrt(sum);
}

export function dot(a: Float64Array, b: Float64Array): number {
  let [even, odd] = [0, 0];
  const last = a.length - 1;
  for (let i = 0; i < last; i += 2) {
    even += a[i]! * b[i]!;
    odd += a[i + 1]! * b[i + 1]!;
  }
  return last % 2 === 0 ? even + odd + a[last]! * b[last]! : even + odd;
}

/** target += factor · values. */
export function addScaled(target: Float64Array, values: Float64Array, factor: number): void {
  if (factor === 0) return;
  for (let i = 0; i < target.length; i++) target[i]! += factor * values[i]!;
}
