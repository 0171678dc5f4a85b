import { fromArray } from "../src/gpu/tensor.ts";
import { patches } from "../src/kernels/patches.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { patchesReference } from "../test/reference/patches.ts";
import { type BenchCase, sized } from "./harness.ts";

function cut(batch: number, side: number, patch: number): BenchCase {
  const count = batch * 3 * side * side;
  return sized("patches", `B${batch} S${side} P${patch}`, count, (device) => {
    const shape = [batch, 3, side, side] as const;
    const x = randomValues(count, 1);
    const X = fromArray(device, Float32Array.from(x), shape);
    return {
      run: () => patches(X, patch),
      reference: () => patchesReference(x, shape, patch),
      bytes: 8 * count,
    };
  });
}

export const cases: BenchCase[] = [cut(1, 224, 16), cut(8, 224, 16)];
