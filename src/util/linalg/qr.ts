import { addScaled, columns, dot, type Matrix, matrix, norm } from "./matrix.ts";

/** A = Q R: the columns of Q are orthonormal, R is upper triangular. */
export interface Qr {
  /** `[rows, k]`. */
  readonly Q: Matrix;
  /** `[k, cols]`. */
  readonly R: Matrix;
}

/**
 * The first columns of Q and rows of R of a QR decomposition by Householder's reflections, with LAPACK's signs
 * (`geqrf`), which torch has too.
 * @param steps how many; by default all, that is the smaller of rows and columns
 */
export function qr(a: Matrix, steps = Math.min(a.rows, a.cols)): Qr {
  const work = matrix(a.rows, a.cols, a.data.slice());
  const reflectors = Array.from({ length: steps }, (_, j) => reflect(work, j));
  const R = matrix(steps, a.cols);
  for (let j = 0; j < a.cols; j++)
    for (let i = 0; i <= Math.min(j, steps - 1); i++)
      R.data[j * steps + i] = work.data[j * a.rows + i] as number;
  const Q = matrix(a.rows, steps);
  for (let j = 0; j < steps; j++) Q.data[j * a.rows + j] = 1;
  for (const [j, reflector] of [...reflectors.entries()].reverse()) apply(reflector, Q, j, j);
  return { Q, R };
}

/** The unit vector v of I − 2 v vᵀ, which acts on the rows from some row on; undefined for the identity. */
type Reflector = Float64Array | undefined;

/** Turns column `j` into one that is 0 below the diagonal, and all columns behind it along. */
function reflect(work: Matrix, j: number): Reflector {
  const v = columns(work, j).slice(j);
  const length = norm(v);
  if (norm(v.subarray(1)) === 0) return undefined;
  const first = v[0] as number;
  v[0] = first + (first < 0 ? -length : length);
  const size = norm(v);
  for (let i = 0; i < v.length; i++) v[i]! /= size;
  apply(v, work, j, j);
  return v;
}

function apply(v: Reflector, target: Matrix, row: number, firstColumn: number): void {
  if (!v) return;
  for (let j = firstColumn; j < target.cols; j++) {
    const part = columns(target, j).subarray(row);
    addScaled(part, v, -2 * dot(v, part));
  }
}
