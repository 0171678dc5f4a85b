import { fromArray } from "../src/gpu/tensor.ts";
import { gradientNorm } from "../src/kernels/gradient-norm.ts";
import { gradientNormReference } from "../test/reference/gradient-norm.ts";
import { type BenchCase, repeatedValues, sized, unbindable } from "./harness.ts";

function norm(count: number): BenchCase {
  return sized(
    "gradient-norm",
    `P${count}`,
    count,
    (device) => {
      const gradients = repeatedValues(count, 1);
      const G = fromArray(device, gradients, [count]);
      return {
        run: () => gradientNorm(G, 1),
        reference: () => gradientNormReference(gradients, 1),
        flops: 2 * count,
        bytes: 4 * count,
      };
    },
    (device) => unbindable(device, 4 * count),
  );
}

export const cases: BenchCase[] = [2_442_240, 2 ** 22, 35_192_832].map(norm);
