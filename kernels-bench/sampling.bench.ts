import { fromArray } from "../src/gpu/tensor.ts";
import { gatherRows } from "../src/kernels/rows.ts";
import { argmax } from "../src/kernels/sampling.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { argmaxReference } from "../test/reference/sampling.ts";
import type { BenchCase } from "./harness.ts";

/** The harness compares f32, so the largest logit is fetched by its index. */
function greedy(vocab: number): BenchCase {
  return {
    name: `sampling argmax 1×${vocab}`,
    setup(device) {
      const x = randomValues(vocab, 1);
      const X = fromArray(device, Float32Array.from(x), [1, vocab]);
      return {
        run: () => gatherRows(X.reshape([vocab, 1]), argmax(X)),
        reference: () => argmaxReference(x, vocab).map((at) => x[at] as number),
        bytes: 4 * vocab,
      };
    },
  };
}

export const cases: BenchCase[] = [greedy(49_152), greedy(151_936)];
