import { type Dense, denseProduct, transposedDense } from "./dense.ts";
import { type Matrix, product, transposed } from "./matrix.ts";
import { qr } from "./qr.ts";
import { type Svd, svd, withFixedSigns } from "./svd.ts";

/**
 * An estimate of the largest singular values by subspace iteration (Halko, Martinsson and Tropp, arXiv 0909.4061,
 * algorithms 4.4 and 5.1), step by step as `torch.svd_lowrank`.
 * @param iterations passes over the matrix and back; the more, the closer
 * @param draw gives the random matrix that it begins with, of standard normal numbers `[rows, cols]`
 */
export function randomizedSvd(
  a: Dense,
  count: number,
  iterations: number,
  draw: (rows: number, cols: number) => Matrix,
): Svd {
  const back = transposedDense(a);
  if (a.rows < a.cols) {
    const { U, S, V } = tall(back, a, count, iterations, draw);
    return withFixedSigns({ U: V, S, V: U });
  }
  return tall(a, back, count, iterations, draw);
}

function tall(
  a: Dense,
  back: Dense,
  count: number,
  iterations: number,
  draw: (rows: number, cols: number) => Matrix,
): Svd {
  let basis = qr(denseProduct(a, draw(a.cols, count))).Q;
  for (let i = 0; i < iterations; i++) {
    basis = qr(denseProduct(back, basis)).Q;
    basis = qr(denseProduct(a, basis)).Q;
  }
  const { U, S, V } = svd(transposed(denseProduct(back, basis)));
  return withFixedSigns({ U: product(basis, U), S, V });
}
