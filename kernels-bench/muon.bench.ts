import { fromArray } from "../src/gpu/tensor.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { muon, orthogonalize } from "../src/kernels/muon.ts";
import { equalRates } from "../src/kernels/update.ts";
import { muonReference, orthogonalizeReference } from "../test/reference/muon.ts";
import { type BenchCase, repeatedValues, sized, unbindable } from "./harness.ts";

const schulz = { coefficients: [3.4445, -4.775, 2.0315], steps: 5, eps: 1e-7 } as const;
const options = { ...schulz, learningRate: 1e-3, momentum: 0.95, nesterov: true, weightDecay: 0.01 };
const flopsOf = (rows: number, columns: number) => {
  const [least, most] = [Math.min(rows, columns), Math.max(rows, columns)];
  return schulz.steps * (4 * least * least * most + 2 * least ** 3);
};

/** So many matrices of LoRA; in place: later runs go on from the first one's state. */
function step(matrices: number, rows: number, columns: number): BenchCase {
  const count = matrices * rows * columns;
  return sized(
    "muon step",
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
      const momentum = zeros(device, [count]);
      const outcome = fromArray(device, Float32Array.of(1, 1), [2]);
      const rates = equalRates(device, count);
      return {
        run: () => {
          muon({ parameters, gradients, momentum, outcome, rates, matrices: placed }, options);
          return [parameters];
        },
        reference: () => {
          const at = Array.from({ length: rows * columns }, (_, i) => i);
          const of = (values: ArrayLike<number>) => Float64Array.from(at, (i) => values[i] as number);
          const values = of(p);
          muonReference({ p: values, m: new Float64Array(values.length), rows, columns }, of(g), options);
          return [{ at, values }];
        },
        flops: matrices * flopsOf(rows, columns),
      };
    },
    (device) => unbindable(device, 4 * count),
  );
}

/** The orthogonal factor of one matrix. */
function factor(rows: number, columns: number): BenchCase {
  return sized("muon orthogonalize", `${rows}×${columns}`, rows * columns, (device) => {
    const values = repeatedValues(rows * columns, 1);
    const x = fromArray(device, values, [rows, columns]);
    return {
      run: () => [orthogonalize(x, schulz)],
      reference: () => [orthogonalizeReference(values, rows, columns, schulz)],
      tolerance: 1e-4,
      flops: flopsOf(rows, columns),
    };
  });
}

/** A and B of LoRA r 8. */
export const cases: BenchCase[] = [step(60, 8, 576), step(60, 576, 8), factor(64, 576)];
