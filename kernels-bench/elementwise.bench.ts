import { fromArray } from "../src/gpu/tensor.ts";
import { add, biasGradient, softcap } from "../src/kernels/elementwise.ts";
import { addReference, softcapReference } from "../test/reference/elementwise.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

function sum(size: number): BenchCase {
  return {
    name: `elementwise add ${size}`,
    setup(device) {
      const [a, b] = [randomValues(size, 1), randomValues(size, 2)];
      const [A, B] = [a, b].map((values) => fromArray(device, Float32Array.from(values), [size]));
      return { run: () => add(A!, B!), reference: () => addReference(a, b), bytes: 12 * size };
    },
  };
}

function columnSums(rows: number, cols: number): BenchCase {
  return {
    name: `elementwise bias_gradient ${rows}×${cols}`,
    setup(device) {
      const dy = randomValues(rows * cols, 1);
      const dY = fromArray(device, Float32Array.from(dy), [rows, cols]);
      const reference = () => {
        const sums = new Float64Array(cols);
        for (let i = 0; i < dy.length; i++) sums[i % cols]! += dy[i]!;
        return sums;
      };
      return { run: () => biasGradient(dY), reference, bytes: 4 * rows * cols };
    },
  };
}

function softcaps(rows: number, cols: number): BenchCase {
  return {
    name: `elementwise softcap ${rows}×${cols}`,
    setup(device) {
      const x = randomValues(rows * cols, 1, 20);
      const X = fromArray(device, Float32Array.from(x), [rows, cols]);
      return { run: () => softcap(X, 30), reference: () => softcapReference(x, 30), bytes: 8 * rows * cols };
    },
  };
}

export const cases: BenchCase[] = [
  sum(576 * 128),
  sum(2 ** 22),
  columnSums(512, 2048),
  softcaps(16, 256_000),
];
