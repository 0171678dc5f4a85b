import type { Tensor } from "../gpu/tensor.ts";
import type { Operands, Problem } from "./matmul-problem.ts";
import { firstValue } from "./weight.ts";
import { commonWindows, type RowWindow, rowWindows } from "./windows.ts";

/** Whether the kernels can bind all operands whole. */
export function isBindable({ a, b, c, extend }: Operands, windowBytes = a.device.bindingLimit): boolean {
  const largest = Math.max(a.byteLength, c.byteLength, extend?.h.byteLength ?? 0);
  return b.byteLength <= windowBytes && largest <= a.device.bindingLimit;
}

/**
 * A product as several, of parts that can be bound: runs of rows of B, and of C with the rows of A and H that it comes from.
 * @param windowBytes most bytes of B, and of A where the sum goes over its rows
 */
export function* bindableParts(
  operands: Operands,
  whole: Problem,
  windowBytes = operands.a.device.bindingLimit,
): Generator<[Operands, Problem]> {
  const windows = windowsOfB(operands, whole, windowBytes);
  for (const window of windows) {
    const [part, problem] = windows.length === 1 ? [operands, whole] : windowOfB(operands, whole, window);
    yield* rowParts(part, problem);
  }
}

/** Runs of rows of B; where the sum goes over its rows and those of A, they are rows of both. */
function windowsOfB({ a, b }: Operands, { aTransposed, lda, ldb, k }: Problem, limit: number): RowWindow[] {
  if (!aTransposed) return rowWindows(b, limit);
  return commonWindows(k, [rowBytes(a, lda), (b.byteLength / b.rows / b.columns) * ldb], limit);
}

/** Rows [start, end) of B are columns of C in NT, and a part of the sum over k otherwise. */
function windowOfB(operands: Operands, whole: Problem, { start, end }: RowWindow): [Operands, Problem] {
  const size = end - start;
  const part = { ...operands, b: operands.b.slice(start, end) };
  const bFirst = firstValue(part.b);
  const { aTransposed, bTransposed, kExtra, aOffset, cOffset } = whole;
  if (bTransposed)
    return [part, { ...whole, bFirst, n: size, cOffset: cOffset + start, eOffset: start * kExtra }];
  if (aTransposed) part.a = operands.a.reshape([whole.k, whole.lda]).slice(start, end);
  if (start === 0) return [part, { ...whole, bFirst, k: size }];
  // The last window has what the sum is padded with.
  const k = end === operands.b.rows ? whole.k - start : size;
  return [part, { ...whole, bFirst, k, aOffset: aOffset + (aTransposed ? 0 : start), kExtra: 0, beta: 1 }];
}

/** Bytes of so many elements. */
const rowBytes = ({ byteLength, size }: Tensor, columns: number) => (byteLength / size) * columns;

/** One part for each run of rows of C that can be bound with the rows of A and H that it comes from. */
function* rowParts(operands: Operands, problem: Problem): Generator<[Operands, Problem]> {
  const { a, c, extend } = operands;
  const { m, lda, ldc, ldh, aTransposed } = problem;
  const ofC = rowBytes(c, ldc);
  const ofAll = aTransposed ? [ofC] : [rowBytes(a, lda), ofC, ...(extend ? [rowBytes(extend.h, ldh)] : [])];
  const windows = commonWindows(m, ofAll, a.device.bindingLimit);
  if (windows.length === 1) yield [operands, problem];
  else {
    for (const { start, end } of windows) {
      const rows = (x: Tensor, columns: number) => x.reshape([m, columns]).slice(start, end);
      const part = {
        ...operands,
        c: rows(c, ldc),
        ...(!aTransposed && { a: rows(a, lda) }),
        ...(extend && { extend: { ...extend, h: rows(extend.h, ldh) } }),
      };
      const aOffset = problem.aOffset + (aTransposed ? start : 0);
      yield [part, { ...problem, m: end - start, aOffset }];
    }
  }
}
