import { fromArray } from "../src/gpu/tensor.ts";
import { rmsNorm, rmsNormBackward, rmsNormBackwardWeight, rmsNormOfSum } from "../src/kernels/rms-norm.ts";
import { centralDifferences, randomValues } from "../test/reference/gradient.ts";
import { rmsNormReference } from "../test/reference/rms-norm.ts";
import type { BenchCase } from "./harness.ts";

const eps = 1e-5;

function forward(rows: number, cols: number): BenchCase {
  return {
    name: `rms-norm forward ${rows}×${cols}`,
    setup(device) {
      const x = randomValues(rows * cols, 1);
      const w = randomValues(cols, 2);
      const X = fromArray(device, Float32Array.from(x), [rows, cols]);
      const W = fromArray(device, Float32Array.from(w), [cols]);
      return {
        run: () => rmsNorm(X, W, { eps }).y,
        reference: () => rmsNormReference(x, w, eps),
        bytes: 8 * rows * cols,
      };
    },
  };
}

function forwardOfSum(rows: number, cols: number): BenchCase {
  return {
    name: `rms-norm forward of a sum ${rows}×${cols}`,
    setup(device) {
      const [x, r, w] = [randomValues(rows * cols, 1), randomValues(rows * cols, 2), randomValues(cols, 3)];
      const [X, R] = [x, r].map((v) => fromArray(device, Float32Array.from(v), [rows, cols]));
      const W = fromArray(device, Float32Array.from(w), [cols]);
      return {
        run: () => rmsNormOfSum(X!, R!, W, { eps }).y,
        reference() {
          const sum = x.map((value, i) => value + r[i]!);
          return rmsNormReference(sum, w, eps);
        },
        bytes: 16 * rows * cols,
      };
    },
  };
}

function backwardWeight(rows: number, cols: number): BenchCase {
  return {
    name: `rms-norm backward of the weight ${rows}×${cols}`,
    setup(device) {
      const [x, w, dy] = [randomValues(rows * cols, 1), randomValues(cols, 2), randomValues(rows * cols, 3)];
      const [X, dY] = [x, dy].map((v) => fromArray(device, Float32Array.from(v), [rows, cols]));
      const W = fromArray(device, Float32Array.from(w), [cols]);
      const { rstd } = rmsNorm(X!, W, { eps });
      return {
        run: () => rmsNormBackwardWeight(dY!, { x: X!, weight: W, rstd, eps }),
        reference() {
          const ones = rmsNormReference(x, new Float64Array(cols).fill(1), eps);
          const dw = new Float64Array(cols);
          ones.forEach((n, i) => {
            dw[i % cols]! += n * dy[i]!;
          });
          return dw;
        },
        bytes: 8 * rows * cols,
      };
    },
  };
}

function backward(rows: number, cols: number): BenchCase {
  return {
    name: `rms-norm backward ${rows}×${cols}`,
    setup(device) {
      const [x, w, dy] = [randomValues(rows * cols, 1), randomValues(cols, 2), randomValues(rows * cols, 3)];
      const [X, dY] = [x, dy].map((v) => fromArray(device, Float32Array.from(v), [rows, cols]));
      const W = fromArray(device, Float32Array.from(w), [cols]);
      const { rstd } = rmsNorm(X!, W, { eps });
      return {
        run: () => rmsNormBackward(dY!, { x: X!, weight: W, rstd, eps }),
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
      centralDifferences((v) => rmsNormReference(v, w, eps), row(x), row(dy)),
      base,
    );
  }
  return dx;
}

export const cases: BenchCase[] = [
  forward(128, 576),
  forward(512, 2048),
  forwardOfSum(512, 2048),
  backward(128, 576),
  backwardWeight(512, 2048),
];
