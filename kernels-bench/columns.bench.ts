import { fromArray } from "../src/gpu/tensor.ts";
import { columns } from "../src/kernels/columns.ts";
import { columnsReference } from "../test/reference/columns.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

/** The middle third, as of a fused query, key and value projection. */
function middleThird(rows: number, width: number): BenchCase {
  const range = { start: width, end: 2 * width };
  return {
    name: `columns third of ${rows}×${3 * width}`,
    setup(device) {
      const x = randomValues(rows * 3 * width, 1);
      const X = fromArray(device, Float32Array.from(x), [rows, 3 * width]);
      return {
        run: () => columns(X, range),
        reference: () => columnsReference(x, 3 * width, range),
        bytes: 8 * rows * width,
      };
    },
  };
}

export const cases: BenchCase[] = [middleThird(128, 768), middleThird(1024, 768)];
