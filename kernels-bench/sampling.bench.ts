import { fromArray } from "../src/gpu/tensor.ts";
import { argmax } from "../src/kernels/sampling.ts";
import { argmaxReference } from "../test/reference/sampling.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

function greedy(vocab: number): BenchCase {
  return sized("sampling argmax", `T1 V${vocab}`, vocab, (device) => {
    const x = repeatedValues(vocab, 1);
    const X = fromArray(device, x, [1, vocab]);
    return {
      run: () => argmax(X),
      reference: () => argmaxReference(Float64Array.from(x), vocab),
      bytes: 4 * vocab,
    };
  });
}

export const cases: BenchCase[] = [greedy(32_000), greedy(151_936)];
