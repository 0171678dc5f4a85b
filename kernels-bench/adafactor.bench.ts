import { fromArray } from "../src/gpu/tensor.ts";
import { adafactor, matrixTables } from "../src/kernels/adafactor.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { equalRates } from "../src/kernels/update.ts";
import { adafactorReference } from "../test/reference/adafactor.ts";
import { type BenchCase, repeatedValues, sized, unbindable } from "./harness.ts";

const options = {
  ...{ learningRate: 1e-3, decayRate: -0.8, eps: 1e-30, clipThreshold: 1 },
  ...{ weightDecay: 0.01, step: 1 },
};

/** So many matrices of LoRA; in place: later runs go on from the first one's state. */
function step(matrices: number, rows: number, columns: number): BenchCase {
  const count = matrices * rows * columns;
  return sized(
    "adafactor step",
    `${matrices} of ${rows}×${columns}`,
    count,
    (device) => {
      const [p, g] = [repeatedValues(count, 1), repeatedValues(count, 2)];
      const [parameters, gradients] = [fromArray(device, p, [count]), fromArray(device, g, [count])];
      const placed = Array.from({ length: matrices }, (_, i) => ({
        first: i * rows * columns,
        rows,
        columns,
      }));
      const tables = matrixTables(device, placed);
      const [rowSquares, columnSquares] = [
        zeros(device, [matrices * rows]),
        zeros(device, [matrices * columns]),
      ];
      const outcome = fromArray(device, Float32Array.of(1, 1), [2]);
      const rates = equalRates(device, count);
      return {
        run: () => {
          adafactor({ parameters, gradients, tables, rowSquares, columnSquares, outcome, rates }, options);
          return [parameters];
        },
        reference: () => {
          const at = Array.from({ length: rows * columns }, (_, i) => i);
          const of = (values: ArrayLike<number>) => Float64Array.from(at, (i) => values[i] as number);
          const [values, r, c] = [of(p), new Float64Array(rows), new Float64Array(columns)];
          adafactorReference({ p: values, rows, columns, rowSquares: r, columnSquares: c }, of(g), options);
          return [{ at, values }];
        },
        flops: 20 * count,
        bytes: 20 * count,
      };
    },
    (device) => unbindable(device, 4 * count),
  );
}

/** About LoRA r 8 of SmolLM2-135M, A and B. */
export const cases: BenchCase[] = [step(420, 8, 576), step(420, 576, 8)];
