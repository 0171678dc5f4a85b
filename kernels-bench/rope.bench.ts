import { fromArray } from "../src/gpu/tensor.ts";
import { rope, ropeTable, uploadRopeTable } from "../src/kernels/rope.ts";
import { ropeFrequencies } from "../src/kernels/rope-frequencies.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { ropeReference } from "../test/reference/rope.ts";
import type { BenchCase } from "./harness.ts";

function forward(tokens: number, heads: number, headDim: number): BenchCase {
  return {
    name: `rope forward ${tokens}×${heads}×${headDim}`,
    setup(device) {
      const shape = [1, tokens, heads, headDim] as const;
      const options = { headDim, theta: 10_000 };
      const x = randomValues(tokens * heads * headDim, 1);
      const X = fromArray(device, Float32Array.from(x), shape);
      const tensors = uploadRopeTable(device, ropeTable({ ...options, length: tokens }));
      return {
        run: () => rope(X, tensors),
        reference: () => ropeReference(x, { shape, frequencies: ropeFrequencies(options) }),
        bytes: 8 * x.length + 4 * tokens * headDim,
      };
    },
  };
}

export const cases: BenchCase[] = [forward(128, 9, 64), forward(2048, 14, 64)];
