import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { rmsNorm, rmsNormBackward, rmsNormBackwardWeight, rmsNormOfSum } from "../src/kernels/rms-norm.ts";
import { centralDifferences } from "../test/reference/gradient.ts";
import { rmsNormReference } from "../test/reference/rms-norm.ts";
import { type BenchCase, indicesOfRows, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

const eps = 1e-5;

interface Size {
  rows: number;
  cols: number;
}

const label = ({ rows, cols }: Size) => `T${rows} K${cols}`;

function inputs(device: Device, { rows, cols }: Size) {
  const [x, dy, w] = [
    repeatedValues(rows * cols, 1),
    repeatedValues(rows * cols, 3),
    repeatedValues(cols, 2),
  ];
  const [X, dY] = [fromArray(device, x, [rows, cols]), fromArray(device, dy, [rows, cols])];
  return { x, dy, w, X, dY, W: fromArray(device, w, [cols]) };
}

function forward(size: Size): BenchCase {
  const { rows, cols } = size;
  return sized("rms-norm forward", label(size), rows * cols, (device) => {
    const { x, w, X, W } = inputs(device, size);
    return {
      run: () => rmsNorm(X, W, { eps }).y,
      reference: () => {
        const at = indicesOfRows(spread(rows, 8), cols);
        return {
          at,
          values: rmsNormReference(
            at.map((i) => x[i] as number),
            w,
            eps,
          ),
        };
      },
      flops: 4 * rows * cols,
      bytes: 8 * rows * cols,
    };
  });
}

function forwardOfSum(size: Size): BenchCase {
  const { rows, cols } = size;
  return sized("rms-norm forward of a sum", label(size), rows * cols, (device) => {
    const { x, dy: branch, w, X, dY: BRANCH, W } = inputs(device, size);
    return {
      run: () => rmsNormOfSum(X, BRANCH, W, { eps }).y,
      reference: () => {
        const at = indicesOfRows(spread(rows, 8), cols);
        const sums = at.map((i) => (x[i] as number) + (branch[i] as number));
        return { at, values: rmsNormReference(sums, w, eps) };
      },
      flops: 5 * rows * cols,
      bytes: 16 * rows * cols,
    };
  });
}

function backward(size: Size): BenchCase {
  const { rows, cols } = size;
  return sized("rms-norm backward", label(size), rows * cols, (device) => {
    const { x, dy, w, X, dY, W } = inputs(device, size);
    const { rstd } = rmsNorm(X, W, { eps });
    return {
      run: () => rmsNormBackward(dY, { x: X, weight: W, rstd, eps }),
      reference: () => {
        // Central differences take cols² steps a row, so three rows are judged.
        const sample = spread(rows, 3);
        const row = (values: Float32Array, r: number) => values.subarray(r * cols, (r + 1) * cols);
        const gradients = sample.map((r) =>
          centralDifferences((v) => rmsNormReference(v, w, eps), row(x, r), row(dy, r)),
        );
        return { at: indicesOfRows(sample, cols), values: gradients.flatMap((g) => [...g]) };
      },
      flops: 8 * rows * cols,
      bytes: 12 * rows * cols,
    };
  });
}

function backwardWeight(size: Size): BenchCase {
  const { rows, cols } = size;
  return sized("rms-norm backward weight", label(size), rows * cols, (device) => {
    const { x, dy, w, X, dY, W } = inputs(device, size);
    const { rstd } = rmsNorm(X, W, { eps });
    return {
      run: () => rmsNormBackwardWeight(dY, { x: X, weight: W, rstd, eps }),
      reference: () => {
        // y is linear in w: its derivative is y at w = 1.
        const slopes = rmsNormReference(
          x,
          w.map(() => 1),
          eps,
        );
        const dw = new Float64Array(cols);
        for (let i = 0; i < slopes.length; i++) dw[i % cols]! += slopes[i]! * (dy[i] as number);
        return dw;
      },
      flops: 3 * rows * cols,
      bytes: 8 * rows * cols,
    };
  });
}

const sizes = [
  ...modelsAndTokens().map(({ model, tokens }): Size => ({ rows: tokens, cols: model.hidden })),
  { rows: 4096, cols: 1024 }, // 16 MB
];

export const cases: BenchCase[] = [
  ...sizes.map(forward),
  ...sizes.map(forwardOfSum),
  ...sizes.map(backward),
  ...sizes.map(backwardWeight),
];
