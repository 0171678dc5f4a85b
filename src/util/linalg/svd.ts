import { Matrix as MlMatrix, SingularValueDecomposition } from "ml-matrix";
import { columns, firstColumns, type Matrix, matrix, product, transposed } from "./matrix.ts";
import { qr } from "./qr.ts";

/** A = U · diag(S) · Vᵀ, or the part of it with the largest singular values. */
export interface Svd {
  /** `[rows, k]`, orthonormal columns. */
  readonly U: Matrix;
  /** Singular values, the largest first. */
  readonly S: Float64Array;
  /** `[cols, k]`, orthonormal columns. */
  readonly V: Matrix;
}

/**
 * All singular values of a matrix of at most some hundred rows or columns; the other side may be long. Of each pair of
 * singular vectors the largest component of v is positive, so that equal matrices give equal vectors.
 */
export function svd(a: Matrix): Svd {
  if (a.rows < a.cols) {
    const { U, S, V } = svd(transposed(a));
    return withFixedSigns({ U: V, S, V: U });
  }
  if (a.rows > a.cols) {
    const { Q, R } = qr(a);
    const core = svd(R);
    return { ...core, U: product(Q, core.U) };
  }
  const { leftSingularVectors, diagonal, rightSingularVectors } = new SingularValueDecomposition(toMl(a));
  return withFixedSigns({
    U: fromMl(leftSingularVectors),
    S: Float64Array.from(diagonal),
    V: fromMl(rightSingularVectors),
  });
}

/**
 * The singular values of left · rightᵀ, which is never formed: of two thin factors only the product of their R is
 * decomposed.
 * @param left `[m, r]`
 * @param right `[n, r]`
 */
export function svdOfProduct(left: Matrix, right: Matrix): Svd {
  const [a, b] = [qr(left), qr(right)];
  const { U, S, V } = svd(product(a.R, transposed(b.R)));
  return withFixedSigns({ U: product(a.Q, U), S, V: product(b.Q, V) });
}

/** The part with the `count` largest singular values. */
export function truncated({ U, S, V }: Svd, count: number): Svd {
  const k = Math.min(count, S.length);
  return { U: firstColumns(U, k), S: S.slice(0, k), V: firstColumns(V, k) };
}

/** Turns pairs of singular vectors around such that the largest component of v is positive. */
export function withFixedSigns({ U, S, V }: Svd): Svd {
  for (let j = 0; j < S.length; j++) {
    const v = columns(V, j);
    const largest = v.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    if (largest >= 0) continue;
    for (const vector of [v, columns(U, j)]) for (let i = 0; i < vector.length; i++) vector[i]! *= -1;
  }
  return { U, S, V };
}

export function toMl({ rows, cols, data }: Matrix): MlMatrix {
  const result = new MlMatrix(rows, cols);
  for (let j = 0; j < cols; j++)
    for (let i = 0; i < rows; i++) result.set(i, j, data[j * rows + i] as number);
  return result;
}

export function fromMl(given: MlMatrix): Matrix {
  const result = matrix(given.rows, given.columns);
  for (let j = 0; j < result.cols; j++)
    for (let i = 0; i < result.rows; i++) result.data[j * result.rows + i] = given.get(i, j);
  return result;
}
