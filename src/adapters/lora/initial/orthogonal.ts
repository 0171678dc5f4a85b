import { fail } from "../../../util/fail.ts";
import {
  type Matrix,
  matrix,
  product,
  toRows,
  toTransposedRows,
  transposed,
} from "../../../util/linalg/matrix.ts";
import { qr } from "../../../util/linalg/qr.ts";
import type { Random } from "../../../util/random.ts";
import { randomMatrix } from "./normal.ts";

/**
 * A and B at random such that B A = 0: their rows and columns lie in two halves of an orthogonal basis of the rank, as
 * PEFT's `orthogonal_init`. The layer's weight is left alone.
 * @param draw gives matrices of standard normal numbers
 * @throws LoraError where r is odd
 */
export function orthogonal(
  { inFeatures, outFeatures }: { readonly inFeatures: number; readonly outFeatures: number },
  r: number,
  draw: (rows: number, cols: number) => Matrix,
): { A: Float32Array; B: Float32Array } {
  if (r % 2 !== 0) fail("orthogonal", `r is ${r}: two halves of it are needed`, "take an even r");
  const { Q } = qr(draw(r, r));
  const [even, odd] = [everySecondRow(Q, 0), everySecondRow(Q, 1)];
  const A = tenth(product(draw(inFeatures, r / 2), even)); // Aᵀ, [in, r]
  const B = tenth(product(transposed(draw(r / 2, outFeatures)), odd));
  return { A: toTransposedRows(A), B: toRows(B) };
}

/** {@link orthogonal} with random numbers of a generator. */
export function randomOrthogonal(
  layer: { readonly inFeatures: number; readonly outFeatures: number },
  r: number,
  random: Random,
): { A: Float32Array; B: Float32Array } {
  return orthogonal(layer, r, (rows, cols) => randomMatrix(rows, cols, random));
}

function everySecondRow({ rows, cols, data }: Matrix, first: number): Matrix {
  const result = matrix(rows / 2, cols);
  for (let j = 0; j < cols; j++)
    for (let i = first; i < rows; i += 2) result.data[j * result.rows + (i >> 1)] = data[j * rows + i]!;
  return result;
}

function tenth(m: Matrix): Matrix {
  return { ...m, data: m.data.map((value) => value / 10) };
}
