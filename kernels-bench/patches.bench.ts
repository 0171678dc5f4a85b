import { fromArray } from "../src/gpu/tensor.ts";
import { patches } from "../src/kernels/patches.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { patchesReference } from "../test/reference/patches.ts";
import type { BenchCase } from "./harness.ts";

function cut(batch: number, side: number, patch: number): BenchCase {
  return {
    name: `patches ${batch}×3×${side}×${side} of ${patch}`,
    setup(device) {
      const shape = [batch, 3, side, side] as const;
      const x = randomValues(batch * 3 * side * side, 1);
      const X = fromArray(device, Float32Array.from(x), shape);
      return {
        run: () => patches(X, patch),
        reference: () => patchesReference(x, shape, patch),
        bytes: 8 * x.length,
      };
    },
  };
}

export const cases: BenchCase[] = [cut(1, 224, 16), cut(8, 224, 16)];
