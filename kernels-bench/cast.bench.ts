import { fromArray } from "../src/gpu/tensor.ts";
import { castToFloat, castToWords } from "../src/kernels/cast.ts";
import { castReference } from "../test/reference/cast.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

/** To words and back, because the harness compares f32: 4 + 2 bytes a value each way. */
function roundTrip(size: number, dtype: "bf16" | "f16"): BenchCase {
  return {
    name: `cast ${dtype} and back ${size}`,
    setup(device) {
      const x = randomValues(size, 1);
      const X = fromArray(device, Float32Array.from(x), [size]);
      return {
        run: () => castToFloat(castToWords(X, dtype)),
        reference: () => castReference(x, dtype),
        bytes: 12 * size,
      };
    },
  };
}

export const cases: BenchCase[] = [roundTrip(2 ** 20, "bf16"), roundTrip(2 ** 20, "f16")];
