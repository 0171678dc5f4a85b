import { fromArray } from "../src/gpu/tensor.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { sgd } from "../src/kernels/sgd.ts";
import { equalRates } from "../src/kernels/update.ts";
import { sgdReference } from "../test/reference/sgd.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread, unbindable } from "./harness.ts";

const options = { learningRate: 1e-3, momentum: 0.9, nesterov: true, weightDecay: 0.01 };

/** In place: later runs go on from the first one's state. */
function step(count: number): BenchCase {
  return sized(
    "sgd step",
    `P${count}`,
    count,
    (device) => {
      const [p, g] = [repeatedValues(count, 1), repeatedValues(count, 2)];
      const [parameters, gradients] = [fromArray(device, p, [count]), fromArray(device, g, [count])];
      const momentum = zeros(device, [count]);
      const outcome = fromArray(device, Float32Array.of(1, 1), [2]);
      const rates = equalRates(device, count);
      return {
        run: () => {
          sgd({ parameters, gradients, momentum, outcome, rates }, options);
          return [parameters, momentum];
        },
        reference: () => {
          const at = spread(count, MOST_ELEMENTS);
          const [values, m] = [pick(p, at), new Float64Array(at.length)];
          sgdReference(values, m, pick(g, at), options);
          return [values, m].map((values) => ({ at, values }));
        },
        flops: 8 * count,
        bytes: 20 * count,
      };
    },
    (device) => unbindable(device, 4 * count),
  );
}

/** LoRA r 8 on all linears of SmolLM2-135M, 16 MB, and Qwen2.5-0.5B's with r 64. */
export const cases: BenchCase[] = [2_442_240, 2 ** 22, 35_192_832].map(step);
