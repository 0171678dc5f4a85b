import { fromArray } from "../src/gpu/tensor.ts";
import { dropout } from "../src/kernels/dropout.ts";
import { dropoutReference } from "../test/reference/dropout.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

function forward(size: number): BenchCase {
  return {
    name: `dropout ${size}`,
    setup(device) {
      const x = randomValues(size, 1);
      const X = fromArray(device, Float32Array.from(x), [size]);
      const options = { p: 0.1, seed: 1 };
      return {
        run: () => dropout(X, options),
        reference: () => dropoutReference(x, options),
        bytes: 8 * size,
      };
    },
  };
}

export const cases: BenchCase[] = [forward(128 * 576), forward(2 ** 22)];
