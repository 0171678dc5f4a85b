import { fromArray } from "../src/gpu/tensor.ts";
import { gradientNorm } from "../src/kernels/gradient-norm.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { gradientNormReference } from "../test/reference/gradient-norm.ts";
import type { BenchCase } from "./harness.ts";

function norm(size: number): BenchCase {
  return {
    name: `gradient-norm ${size}`,
    setup(device) {
      const gradients = randomValues(size, 1);
      const G = fromArray(device, Float32Array.from(gradients), [size]);
      return {
        run: () => gradientNorm(G, 1),
        reference: () => gradientNormReference(gradients, 1),
        bytes: 4 * size,
      };
    },
  };
}

export const cases: BenchCase[] = [norm(460_800), norm(2 ** 23)];
