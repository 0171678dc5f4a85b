import { fromArray } from "../src/gpu/tensor.ts";
import { adamW } from "../src/kernels/adamw.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { equalRates } from "../src/kernels/update.ts";
import { adamWReference } from "../test/reference/adamw.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread, unbindable } from "./harness.ts";

const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, step: 1 };

/** In place: later runs go on from the first one's state. */
function step(count: number): BenchCase {
  return sized(
    "adamw step",
    `P${count}`,
    count,
    (device) => {
      const [p, g] = [repeatedValues(count, 1), repeatedValues(count, 2)];
      const [parameters, gradients] = [fromArray(device, p, [count]), fromArray(device, g, [count])];
      const [m, v] = [zeros(device, [count]), zeros(device, [count])];
      const outcome = fromArray(device, Float32Array.of(1, 1), [2]);
      const rates = equalRates(device, count);
      return {
        run: () => {
          adamW({ parameters, gradients, m, v, outcome, rates }, options);
          return [parameters, m, v];
        },
        reference: () => {
          const at = spread(count, MOST_ELEMENTS);
          const state = { p: pick(p, at), m: new Float64Array(at.length), v: new Float64Array(at.length) };
          adamWReference(state, pick(g, at), options);
          return [state.p, state.m, state.v].map((values) => ({ at, values }));
        },
        flops: 13 * count,
        bytes: 28 * count,
      };
    },
    (device) => unbindable(device, 4 * count),
  );
}

/** LoRA r 8 on all linears of SmolLM2-135M, 16 MB, and Qwen2.5-0.5B's with r 64. */
export const cases: BenchCase[] = [2_442_240, 2 ** 22, 35_192_832].map(step);
