import { expect, test } from "vitest";
import {
  columns,
  crossProduct,
  fromRows,
  type Matrix,
  matrix,
  norm,
  product,
  scaleColumns,
  toRows,
  transposed,
} from "../../../src/util/linalg/matrix.ts";
import { qr } from "../../../src/util/linalg/qr.ts";
import { randomizedSvd } from "../../../src/util/linalg/randomized-svd.ts";
import { type Svd, svd, svdOfProduct, truncated } from "../../../src/util/linalg/svd.ts";
import { topSvd } from "../../../src/util/linalg/top-svd.ts";
import { createRandom } from "../../../src/util/random.ts";

const gaussian = (rows: number, cols: number, seed = 1): Matrix => {
  const random = createRandom(seed);
  return matrix(
    rows,
    cols,
    Float64Array.from({ length: rows * cols }, () => random.normal()),
  );
};
const distance = (a: Matrix, b: Matrix) => norm(a.data.map((value, i) => value - b.data[i]!));
const identity = (n: number) =>
  matrix(
    n,
    n,
    Float64Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)),
  );
const isOrthonormal = (m: Matrix) => distance(crossProduct(m, m), identity(m.cols)) < 1e-12 * m.rows;
const recomposed = ({ U, S, V }: Svd) => product(scaleColumns(U, S), transposed(V));
const dense = (m: Matrix) => ({ rows: m.rows, cols: m.cols, values: toRows(m) });

test.each([
  [1, 1],
  [5, 3],
  [3, 5],
  [127, 16],
])("qr of %i × %i", (rows, cols) => {
  const a = gaussian(rows, cols);
  const { Q, R } = qr(a);
  expect(distance(product(Q, R), a)).toBeLessThan(1e-12 * norm(a.data));
  expect(isOrthonormal(Q)).toBe(true);
  for (let j = 0; j < R.cols; j++)
    for (let i = j + 1; i < R.rows; i++) expect(R.data[j * R.rows + i]).toBe(0);
});

test("the first steps of qr are those of the whole", () => {
  const a = gaussian(20, 12);
  const [some, all] = [qr(a, 4), qr(a)];
  expect(distance(some.Q, matrix(20, 4, columns(all.Q, 0, 4)))).toBeLessThan(1e-13);
  for (let j = 0; j < 12; j++)
    for (let i = 0; i < 4; i++) expect(some.R.data[j * 4 + i]).toBeCloseTo(all.R.data[j * 12 + i]!, 12);
});

test.each([
  [1, 1],
  [6, 4],
  [4, 6],
  [130, 70],
])("svd of %i × %i", (rows, cols) => {
  const a = gaussian(rows, cols);
  const parts = svd(a);
  expect(distance(recomposed(parts), a)).toBeLessThan(1e-12 * norm(a.data));
  expect(isOrthonormal(parts.U) && isOrthonormal(parts.V)).toBe(true);
  expect([...parts.S]).toEqual([...parts.S].sort((x, y) => y - x));
});

test("svd of a matrix without rank, and of zeros", () => {
  const a = product(gaussian(9, 2), transposed(gaussian(7, 2, 3)));
  expect(svd(a).S[2]).toBeLessThan(1e-13);
  expect(distance(recomposed(svd(a)), a)).toBeLessThan(1e-12);
  expect([...svd(matrix(4, 3)).S]).toEqual([0, 0, 0]);
  expect(svd(matrix(4, 3)).V.data.every(Number.isFinite)).toBe(true);
});

test("svd of a product of thin factors is that of the product, with the same signs", () => {
  const [left, right] = [gaussian(60, 5), gaussian(40, 5, 2)];
  const thin = svdOfProduct(left, right);
  const whole = truncated(svd(product(left, transposed(right))), 5);
  for (const part of ["U", "V"] as const) expect(distance(thin[part], whole[part])).toBeLessThan(1e-11);
  for (let i = 0; i < 5; i++) expect(thin.S[i]).toBeCloseTo(whole.S[i]!, 10);
});

test("svd of a product of factors with more columns than rows", () => {
  const [left, right] = [gaussian(3, 8), gaussian(5, 8, 2)];
  const whole = product(left, transposed(right));
  expect(distance(recomposed(svdOfProduct(left, right)), whole)).toBeLessThan(1e-12 * norm(whole.data));
});

/** A matrix with these singular values. */
function withValues(rows: number, cols: number, values: readonly number[]): Matrix {
  const [U, V] = [qr(gaussian(rows, values.length, 5)).Q, qr(gaussian(cols, values.length, 6)).Q];
  return product(scaleColumns(U, values), transposed(V));
}

test.each([
  ["gaussian", gaussian(200, 150)],
  ["wide", gaussian(150, 210)],
  [
    "falling",
    withValues(
      300,
      200,
      Array.from({ length: 200 }, (_, i) => 0.9 ** i),
    ),
  ],
  ["three equal values", withValues(200, 180, [5, 5, 5, 1, 0.5])],
  ["zeros", matrix(200, 180)],
])("the largest singular values of a large matrix: %s", (_, a) => {
  const rounded = fromRows(toRows(a), a.rows, a.cols);
  const all = svd(rounded);
  const top = topSvd(dense(a), 6, createRandom(0));
  for (let i = 0; i < 6; i++) expect(Math.abs(top.S[i]! - all.S[i]!)).toBeLessThan(1e-8 * (all.S[0]! || 1));
  expect(isOrthonormal(top.V)).toBe(true);
  const best = recomposed(truncated(all, 6));
  const isSplit = all.S[5]! - all.S[6]! > 1e-3 * all.S[0]!;
  if (isSplit) expect(distance(recomposed(top), best)).toBeLessThan(1e-8 * all.S[0]!);
});

test("more singular values than there are", () => {
  expect(topSvd(dense(gaussian(6, 4)), 10, createRandom(0)).S).toHaveLength(4);
});

test("subspace iteration comes closer with each pass", () => {
  const a = withValues(
    120,
    90,
    Array.from({ length: 90 }, (_, i) => 0.8 ** i),
  );
  const exact = recomposed(truncated(svd(a), 5));
  const errors = [0, 2, 8].map((iterations) =>
    distance(recomposed(randomizedSvd(dense(a), 5, iterations, (m, n) => gaussian(m, n, 9))), exact),
  );
  expect(errors[0]! > 3 * errors[1]! && errors[1]! > 10 * errors[2]!).toBe(true);
});
