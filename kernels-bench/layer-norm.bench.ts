import { fromArray } from "../src/gpu/tensor.ts";
import { layerNorm, layerNormBackward } from "../src/kernels/layer-norm.ts";
import { centralDifferences, randomValues } from "../test/reference/gradient.ts";
import { layerNormReference } from "../test/reference/layer-norm.ts";
import type { BenchCase } from "./harness.ts";

const eps = 1e-5;

function forward(rows: number, cols: number): BenchCase {
  return {
    name: `layer-norm forward ${rows}×${cols}`,
    setup(device) {
      const [x, w, b] = [randomValues(rows * cols, 1), randomValues(cols, 2), randomValues(cols, 3)];
      const X = fromArray(device, Float32Array.from(x), [rows, cols]);
      const [W, B] = [w, b].map((values) => fromArray(device, Float32Array.from(values), [cols]));
      return {
        run: () => layerNorm(X, W!, B!, { eps }).y,
        reference: () => layerNormReference(x, w, b, eps),
        bytes: 8 * rows * cols,
      };
    },
  };
}

function backward(rows: number, cols: number): BenchCase {
  return {
    name: `layer-norm backward ${rows}×${cols}`,
    setup(device) {
      const [x, w, dy] = [randomValues(rows * cols, 1), randomValues(cols, 2), randomValues(rows * cols, 3)];
      const [X, dY] = [x, dy].map((values) => fromArray(device, Float32Array.from(values), [rows, cols]));
      const W = fromArray(device, Float32Array.from(w), [cols]);
      const { stats } = layerNorm(X!, W, W, { eps });
      return {
        run: () => layerNormBackward(dY!, { x: X!, weight: W, stats }),
        reference: () => rowwiseDifferences(x, w, dy, cols),
        bytes: 12 * rows * cols,
      };
    },
  };
}

/** Rows are independent, so the oracle is taken row by row: cols² work a row instead of (rows·cols)². */
function rowwiseDifferences(x: Float64Array, w: Float64Array, dy: Float64Array, cols: number): Float64Array {
  const dx = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += cols) {
    const row = (values: Float64Array) => values.subarray(base, base + cols);
    dx.set(
      centralDifferences((v) => layerNormReference(v, w, w, eps), row(x), row(dy)),
      base,
    );
  }
  return dx;
}

export const cases: BenchCase[] = [forward(128, 768), forward(512, 2048), backward(128, 768)];
