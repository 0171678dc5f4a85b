import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { layerNorm, layerNormBackward } from "../src/kernels/layer-norm.ts";
import { centralDifferences } from "../test/reference/gradient.ts";
import { layerNormReference } from "../test/reference/layer-norm.ts";
import { type BenchCase, indicesOfRows, pick, repeatedValues, sized, spread } from "./harness.ts";

const eps = 1e-5;

function inputs(device: Device, rows: number, cols: number) {
  const [x, dy] = [repeatedValues(rows * cols, 1), repeatedValues(rows * cols, 3)];
  const [w, b] = [repeatedValues(cols, 2), repeatedValues(cols, 4)];
  const [X, dY] = [fromArray(device, x, [rows, cols]), fromArray(device, dy, [rows, cols])];
  return { x, dy, w, b, X, dY, W: fromArray(device, w, [cols]), B: fromArray(device, b, [cols]) };
}

function forward(rows: number, cols: number): BenchCase {
  return sized("layer-norm forward", `T${rows} K${cols}`, rows * cols, (device) => {
    const { x, w, b, X, W, B } = inputs(device, rows, cols);
    return {
      run: () => layerNorm(X, W, B, { eps }).y,
      reference: () => {
        const at = indicesOfRows(spread(rows, 8), cols);
        return {
          at,
          values: layerNormReference(pick(x, at), Float64Array.from(w), Float64Array.from(b), eps),
        };
      },
      bytes: 8 * rows * cols,
    };
  });
}

function backward(rows: number, cols: number): BenchCase {
  return sized("layer-norm backward", `T${rows} K${cols}`, rows * cols, (device) => {
    const { x, dy, w, X, dY, W, B } = inputs(device, rows, cols);
    const { stats } = layerNorm(X, W, B, { eps });
    const weight = Float64Array.from(w);
    return {
      run: () => layerNormBackward(dY, { x: X, weight: W, stats }),
      reference: () => {
        // Central differences take cols² steps a row, so three rows are judged.
        const sample = spread(rows, 3);
        const row = (values: Float32Array, r: number) =>
          Float64Array.from(values.subarray(r * cols, (r + 1) * cols));
        const gradients = sample.map((r) =>
          centralDifferences((v) => layerNormReference(v, weight, weight, eps), row(x, r), row(dy, r)),
        );
        return { at: indicesOfRows(sample, cols), values: gradients.flatMap((g) => [...g]) };
      },
      bytes: 12 * rows * cols,
    };
  });
}

/** BERT-base, OPT-1.3B, and 16 MB. */
const SIZES = [
  [128, 768],
  [512, 2048],
  [4096, 1024],
] as const;

export const cases: BenchCase[] = SIZES.flatMap(([rows, cols]) => [
  forward(rows, cols),
  backward(rows, cols),
]);
