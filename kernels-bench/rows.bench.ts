import { fromArray } from "../src/gpu/tensor.ts";
import { gatherRows } from "../src/kernels/rows.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { gatherRowsReference } from "../test/reference/rows.ts";
import type { BenchCase } from "./harness.ts";

/** Every other row, as when half of the tokens have a label. */
function everyOther(rows: number, cols: number): BenchCase {
  return {
    name: `rows gather half of ${rows}×${cols}`,
    setup(device) {
      const x = randomValues(rows * cols, 1);
      const index = Array.from({ length: rows / 2 }, (_, m) => 2 * m);
      const X = fromArray(device, Float32Array.from(x), [rows, cols]);
      const I = fromArray(device, Uint32Array.from(index), [index.length]);
      return {
        run: () => gatherRows(X, I),
        reference: () => gatherRowsReference(x, index, cols),
        bytes: 4 * rows * cols,
      };
    },
  };
}

export const cases: BenchCase[] = [everyOther(512, 576), everyOther(4096, 896)];
