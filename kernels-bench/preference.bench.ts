import { fromArray } from "../src/gpu/tensor.ts";
import { pairLosses } from "../src/kernels/preference.ts";
import { pairLossReference } from "../test/reference/preference.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

const options = {
  ...{ loss: "sigmoid" as const, weight: 1, beta: 0.1, smoothing: 0, shift: 0, tau: 0.05, center: 0, nll: 0 },
};

function pairs(count: number): BenchCase {
  return sized("preference losses", `${count} pairs`, count, (device) => {
    const [policy, given] = [repeatedValues(2 * count, 1), repeatedValues(2 * count, 2)];
    const [P, R] = [fromArray(device, policy, [2 * count]), fromArray(device, given, [2 * count])];
    return {
      run: () => pairLosses({ policy: P, reference: R, tokens: P, logits: R }, options).losses,
      reference: () =>
        Float64Array.from({ length: count }, (_, i) => {
          const of = (values: Float32Array) => [values[i], values[count + i]] as [number, number];
          return pairLossReference(...of(policy), of(given), [1, 1], options);
        }),
      flops: 40 * count,
      bytes: 4 * 22 * count,
    };
  });
}

export const cases: BenchCase[] = [pairs(8), pairs(256)];
