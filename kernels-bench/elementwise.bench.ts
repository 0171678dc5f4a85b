import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { add, addBias, biasGradient, fill, multiply, scale, softcap } from "../src/kernels/elementwise.ts";
import {
  addBiasReference,
  addReference,
  multiplyReference,
  softcapReference,
} from "../test/reference/elementwise.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

interface Size {
  rows: number;
  cols: number;
}

const label = ({ rows, cols }: Size) => `T${rows} K${cols}`;

function matrix(device: Device, { rows, cols }: Size, seed: number) {
  const values = repeatedValues(rows * cols, seed);
  return { values, tensor: fromArray(device, values, [rows, cols]) };
}

function sum(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise add", label(size), count, (device) => {
    const [a, b] = [matrix(device, size, 1), matrix(device, size, 2)];
    return {
      run: () => add(a.tensor, b.tensor),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: addReference(pick(a.values, at), pick(b.values, at)) };
      },
      flops: count,
      bytes: 12 * count,
    };
  });
}

function product(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise multiply", label(size), count, (device) => {
    const [a, b] = [matrix(device, size, 1), matrix(device, size, 2)];
    return {
      run: () => multiply(a.tensor, b.tensor),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: multiplyReference(pick(a.values, at), pick(b.values, at)) };
      },
      flops: count,
      bytes: 12 * count,
    };
  });
}

function scaled(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise scale", label(size), count, (device) => {
    const x = matrix(device, size, 1);
    return {
      run: () => scale(x.tensor, 0.5),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        const values = pick(x.values, at);
        return { at, values: addReference(values, values, -0.5) };
      },
      flops: count,
      bytes: 8 * count,
    };
  });
}

function softcapped(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise softcap", label(size), count, (device) => {
    const x = matrix(device, size, 1);
    return {
      run: () => softcap(x.tensor, 3),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: softcapReference(pick(x.values, at), 3) };
      },
      flops: count,
      bytes: 8 * count,
    };
  });
}

function filled(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise fill", label(size), count, (device) => {
    const { tensor } = matrix(device, size, 1);
    const at = spread(count, MOST_ELEMENTS);
    return {
      run: () => fill(tensor, 0.25),
      reference: () => ({ at, values: at.map(() => 0.25) }),
      bytes: 4 * count,
    };
  });
}

/** In place: the bias is added again with each run, and judged after the first. */
function bias(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise add bias", label(size), count, (device) => {
    const x = matrix(device, size, 1);
    const b = repeatedValues(size.cols, 2);
    const B = fromArray(device, b, [size.cols]);
    return {
      run: () => addBias(x.tensor, B),
      reference: () => {
        const rows = spread(size.rows, 4);
        const at = rows.flatMap((row) => Array.from(b, (_, i) => row * size.cols + i));
        return { at, values: addBiasReference(pick(x.values, at), b) };
      },
      flops: count,
      bytes: 8 * count,
    };
  });
}

function columnSums(size: Size): BenchCase {
  const count = size.rows * size.cols;
  return sized("elementwise bias gradient", label(size), count, (device) => {
    const dy = matrix(device, size, 1);
    return {
      run: () => biasGradient(dy.tensor),
      reference: () => {
        const sums = new Float64Array(size.cols);
        for (let i = 0; i < count; i++) sums[i % size.cols]! += dy.values[i]!;
        return sums;
      },
      flops: count,
      bytes: 4 * count,
    };
  });
}

const sizes = [
  ...modelsAndTokens().map(({ model, tokens }): Size => ({ rows: tokens, cols: model.hidden })),
  { rows: 4096, cols: 1024 }, // 16 MB
];

export const cases: BenchCase[] = [sum, product, scaled, softcapped, filled, bias, columnSums].flatMap(
  (make) => sizes.map(make),
);
