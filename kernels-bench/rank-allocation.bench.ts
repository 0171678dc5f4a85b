import { fromArray } from "../src/gpu/tensor.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { updateImportance } from "../src/kernels/rank-allocation.ts";
import { importanceReference } from "../test/reference/rank-allocation.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

const BETAS = { beta1: 0.85, beta2: 0.85 };

function importance(size: number): BenchCase {
  return sized("rank-allocation importance", `N${size}`, size, (device) => {
    const [p, g] = [repeatedValues(size, 1), repeatedValues(size, 2)];
    const [parameters, gradients] = [p, g].map((values) => fromArray(device, values, [size]));
    const outcome = fromArray(device, Float32Array.of(1, 0.5), [2]);
    return {
      run() {
        const averages = { sensitivity: zeros(device, [size]), uncertainty: zeros(device, [size]) };
        updateImportance(averages, { parameters: parameters!, gradients: gradients!, outcome, ...BETAS });
        return averages.sensitivity;
      },
      reference: () => {
        const none = new Float64Array(size);
        const before = { sensitivity: none, uncertainty: none };
        return importanceReference(before, p, g, { factor: 0.5, ...BETAS }).sensitivity;
      },
      flops: 10 * size,
      bytes: 24 * size,
    };
  });
}

const sizes = new Set(modelsAndTokens().map(({ model }) => 64 * model.hidden));

export const cases: BenchCase[] = [...sizes].map(importance);
