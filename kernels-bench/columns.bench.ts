import { fromArray } from "../src/gpu/tensor.ts";
import { sliceColumns } from "../src/kernels/columns.ts";
import { sliceColumnsReference } from "../test/reference/columns.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

/** The queries of a fused projection of queries, keys and values. */
function firstThird(rows: number, cols: number): BenchCase {
  return {
    name: `columns slice a third of ${rows}×${cols}`,
    setup(device) {
      const x = randomValues(rows * cols, 1);
      const X = fromArray(device, Float32Array.from(x), [rows, cols]);
      return {
        run: () => sliceColumns(X, 0, cols / 3),
        reference: () => sliceColumnsReference(x, cols, [0, cols / 3]),
        bytes: (8 * rows * cols) / 3,
      };
    },
  };
}

export const cases: BenchCase[] = [firstThird(512, 9216)];
