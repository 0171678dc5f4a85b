import { fromArray } from "../src/gpu/tensor.ts";
import { swapAxes } from "../src/kernels/swap-axes.ts";
import { swapAxesReference } from "../test/reference/swap-axes.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

function swapped(rows: number, hidden: number): BenchCase {
  // Two factors of the width, as LoKr has them.
  const axes = { rows: 32, cols: hidden / 32, unit: 1 };
  const count = rows * hidden;
  return sized("swap-axes", `T${rows} K${hidden}`, count, (device) => {
    const x = repeatedValues(count, 1);
    const X = fromArray(device, x, [rows, hidden]);
    return {
      run: () => swapAxes(X, axes),
      reference: () => swapAxesReference(x, axes),
      flops: count,
      bytes: 8 * count,
    };
  });
}

export const cases: BenchCase[] = modelsAndTokens().map(({ model, tokens }) => swapped(tokens, model.hidden));
