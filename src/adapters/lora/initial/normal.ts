import { type Matrix, matrix } from "../../../util/linalg/matrix.ts";
import type { Random } from "../../../util/random.ts";

/** What makes values of N(0, deviation²). */
export const normal =
  (count: number, deviation: number) =>
  (random: Random): Float32Array =>
    Float32Array.from({ length: count }, () => deviation * random.normal());

/** Standard normal numbers. */
export function randomMatrix(rows: number, cols: number, random: Random): Matrix {
  return matrix(
    rows,
    cols,
    Float64Array.from({ length: rows * cols }, () => random.normal()),
  );
}
