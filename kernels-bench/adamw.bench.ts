import { fromArray } from "../src/gpu/tensor.ts";
import { adamW } from "../src/kernels/adamw.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { adamWReference } from "../test/reference/adamw.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, step: 1 };

function step(size: number): BenchCase {
  return {
    name: `adamw ${size}`,
    setup(device) {
      const [p, g] = [randomValues(size, 1), randomValues(size, 2)];
      const [parameters, gradients] = [p, g].map((values) =>
        fromArray(device, Float32Array.from(values), [size]),
      );
      const [m, v] = [zeros(device, [size]), zeros(device, [size])];
      const normAndClip = fromArray(device, Float32Array.of(1, 1), [2]);
      return {
        run: () => {
          adamW({ parameters: parameters!, gradients: gradients!, m, v, normAndClip }, options);
          return parameters!;
        },
        reference: () => {
          const state = { p: p.slice(), m: new Float64Array(size), v: new Float64Array(size) };
          adamWReference(state, g, options);
          return state.p;
        },
        bytes: 28 * size,
      };
    },
  };
}

export const cases: BenchCase[] = [step(460_800), step(2 ** 22)];
