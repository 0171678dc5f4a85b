import { empty, fromArray } from "../src/gpu/tensor.ts";
import { adamW8bit, momentTables } from "../src/kernels/adamw-8bit.ts";
import { fill, zeros } from "../src/kernels/elementwise.ts";
import { equalRates } from "../src/kernels/update.ts";
import { adamW8bitReference } from "../test/reference/adamw-8bit.ts";
import { type BenchCase, repeatedValues, sized, unbindable } from "./harness.ts";

const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, step: 1 };
const COMPARED = 1024;

/** In place: later runs go on from the first one's state. */
function step(count: number): BenchCase {
  return sized(
    "adamw-8bit step",
    `P${count}`,
    count,
    (device) => {
      const [p, g] = [repeatedValues(count, 1), repeatedValues(count, 2)];
      const [parameters, gradients] = [fromArray(device, p, [count]), fromArray(device, g, [count])];
      const codes = () => fill(empty(device, [count / 4], "u32"), 0);
      const [m, v, scales] = [codes(), codes(), zeros(device, [Math.ceil(count / 256), 2])];
      const outcome = fromArray(device, Float32Array.of(1, 1), [2]);
      const [rates, tables] = [equalRates(device, count), fromArray(device, momentTables(), [512])];
      return {
        run: () => {
          adamW8bit({ parameters, gradients, m, v, scales, tables, outcome, rates }, options);
          return [parameters];
        },
        reference: () => {
          const at = Array.from({ length: COMPARED }, (_, i) => i);
          const of = (values: ArrayLike<number>) => Float64Array.from(at, (i) => values[i] as number);
          const state = { p: of(p), m: new Float64Array(COMPARED), v: new Float64Array(COMPARED) };
          adamW8bitReference(state, of(g), options);
          return [{ at, values: state.p }];
        },
        flops: 60 * count,
        bytes: 16 * count,
      };
    },
    (device) => unbindable(device, 4 * count),
  );
}

/** LoRA r 8 on all linears of SmolLM2-135M, and 16 MB. */
export const cases: BenchCase[] = [2_442_240, 2 ** 22].map(step);
