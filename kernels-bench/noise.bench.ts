import { fromArray } from "../src/gpu/tensor.ts";
import { addNoise } from "../src/kernels/noise.ts";
import { noiseReference } from "../test/reference/noise.ts";
import { type BenchCase, MOST_ELEMENTS, repeatedValues, sized } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

/** The noise depends on the index, which the reference counts from 0: the first elements are judged. */
function forward(tokens: number, cols: number): BenchCase {
  const count = tokens * cols;
  return sized("noise", `T${tokens} K${cols}`, count, (device) => {
    const x = repeatedValues(count, 1);
    const X = fromArray(device, x, [tokens, cols]);
    const options = { magnitude: 0.1, seed: 1 };
    return {
      run: () => addNoise(X, options),
      reference: () => {
        const head = x.subarray(0, MOST_ELEMENTS);
        return { at: Array.from(head, (_, i) => i), values: noiseReference(head, options) };
      },
      flops: 2 * count,
      bytes: 8 * count,
    };
  });
}

export const cases: BenchCase[] = modelsAndTokens().map(({ model, tokens }) => forward(tokens, model.hidden));
