import { fromArray } from "../src/gpu/tensor.ts";
import { type PackedGate, packedGate, packedGateBackward } from "../src/kernels/packed-gate.ts";
import { centralDifferences } from "../test/reference/gradient.ts";
import { packedGateReference } from "../test/reference/packed-gate.ts";
import { EXPERTS, type ExpertsSize, expertsLabel } from "./experts.ts";
import { type BenchCase, indicesOfRows, repeatedValues, sized, spread } from "./harness.ts";

const KINDS: readonly PackedGate[] = [
  { activation: "silu", layout: "halves", limit: 0 },
  { activation: "quick_gelu", layout: "pairs", limit: 7 },
];

/** Rows that are computed in f64. */
const ROWS = 2;

function gate(size: ExpertsSize, kind: PackedGate, isBackward: boolean): BenchCase {
  const { tokens, chosen, intermediate: columns } = size;
  const rows = tokens * chosen;
  const op = `packed-gate ${kind.layout}${isBackward ? " backward" : ""}`;
  return sized(op, expertsLabel(size), rows * columns, (device) => {
    const x = repeatedValues(rows * 2 * columns, 1);
    const dy = repeatedValues(rows * columns, 2);
    const X = fromArray(device, x, [rows, 2 * columns]);
    const dY = fromArray(device, dy, [rows, columns]);
    const forward = (values: ArrayLike<number>) => packedGateReference(values, { columns, ...kind });
    const part = (values: Float32Array, row: number, width: number) =>
      values.subarray(row * width, (row + 1) * width);
    const referenceRow = (row: number) => {
      const own = part(x, row, 2 * columns);
      return isBackward ? centralDifferences(forward, own, part(dy, row, columns)) : forward(own);
    };
    return {
      run: () => (isBackward ? packedGateBackward(dY, X, kind) : packedGate(X, kind)),
      reference: () => {
        const sample = spread(rows, ROWS);
        const width = isBackward ? 2 * columns : columns;
        return { at: indicesOfRows(sample, width), values: sample.flatMap((row) => [...referenceRow(row)]) };
      },
      bytes: 4 * rows * columns * (isBackward ? 5 : 3),
    };
  });
}

export const cases: BenchCase[] = EXPERTS.flatMap((size) =>
  KINDS.flatMap((kind) => [gate(size, kind, false), gate(size, kind, true)]),
);
