import type { Dense } from "../../../util/linalg/dense.ts";
import { fromRows, scaleColumns, toRows, toTransposedRows, transposed } from "../../../util/linalg/matrix.ts";
import { qr } from "../../../util/linalg/qr.ts";
import { randomizedSvd } from "../../../util/linalg/randomized-svd.ts";
import type { Svd } from "../../../util/linalg/svd.ts";
import { topSvd } from "../../../util/linalg/top-svd.ts";
import type { Random } from "../../../util/random.ts";
import { type Beginning, requireRank, withoutChange } from "./beginning.ts";
import { randomMatrix } from "./normal.ts";

/**
 * PiSSA: the principal part of the weight is trained, the rest stays (Meng et al. 2024, arXiv 2404.02948). With
 * W = U S Vᵀ it begins as A = √(S/scale) Vᵀ and B = U √(S/scale) of the `r` largest singular values. The same singular
 * vectors, up to their signs, as PEFT's full decomposition.
 * @param weight `[out, in]`
 */
export function pissa(weight: Dense, r: number, scale: number, random: Random): Beginning {
  requireRank("pissa", weight, r);
  return principal(weight, topSvd(weight, r, random), scale);
}

/** PiSSA from an estimate of the singular values: PEFT's `pissa_niter_N` with N passes. */
export function quickPissa(
  weight: Dense,
  r: number,
  scale: number,
  iterations: number,
  random: Random,
): Beginning {
  requireRank("pissa", weight, r);
  const draw = (rows: number, cols: number) => randomMatrix(rows, cols, random);
  return principal(weight, randomizedSvd(weight, r, iterations, draw), scale);
}

function principal(weight: Dense, { U, S, V }: Svd, scale: number): Beginning {
  const roots = S.map((value) => Math.sqrt(value / scale));
  const factors = { A: toTransposedRows(scaleColumns(V, roots)), B: toRows(scaleColumns(U, roots)) };
  return { ...factors, base: withoutChange(weight, factors, scale) };
}

/**
 * OLoRA: the first columns of Q and rows of R of W = Q R (Büyükakyüz 2024, arXiv 2406.01775); the rest stays.
 * @param weight `[out, in]`
 */
export function olora(weight: Dense, r: number, scale: number): Beginning {
  requireRank("olora", weight, r);
  const { Q, R } = qr(fromRows(weight.values, weight.rows, weight.cols), r);
  const factors = { A: toTransposedRows(transposed(R)), B: toRows(Q) };
  return { ...factors, base: withoutChange(weight, factors, scale) };
}
