import { fromArray } from "../src/gpu/tensor.ts";
import { sliceColumns } from "../src/kernels/columns.ts";
import { sliceColumnsReference } from "../test/reference/columns.ts";
import { type BenchCase, indicesOfRows, pick, repeatedValues, sized, spread } from "./harness.ts";

/** The queries of a fused projection of queries, keys and values. */
function firstThird(rows: number, cols: number): BenchCase {
  return sized("columns slice", `T${rows} N${cols}`, rows * cols, (device) => {
    const x = repeatedValues(rows * cols, 1);
    const X = fromArray(device, x, [rows, cols]);
    return {
      run: () => sliceColumns(X, 0, cols / 3),
      reference: () => {
        const sample = spread(rows, 8);
        const values = sliceColumnsReference(pick(x, indicesOfRows(sample, cols)), cols, [0, cols / 3]);
        return { at: indicesOfRows(sample, cols / 3), values };
      },
      bytes: (8 * rows * cols) / 3,
    };
  });
}

export const cases: BenchCase[] = [firstThird(128, 2304), firstThird(512, 9216)];
