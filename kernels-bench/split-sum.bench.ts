import { fromArray } from "../src/gpu/tensor.ts";
import { splitSum } from "../src/kernels/split-sum.ts";
import { splitSumReference } from "../test/reference/split-sum.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

/** The gradient of an A `[r, K]`, in as many slices as a GPU gets. */
function gradientOfA(r: number, cols: number, slices: number): BenchCase {
  const size = r * cols;
  return sized("split-sum", `${slices}×${r}×${cols}`, slices * size, (device) => {
    const parts = repeatedValues(slices * size, 1);
    const [P, C] = [
      fromArray(device, parts, [slices, r, cols]),
      fromArray(device, new Float32Array(size), [r, cols]),
    ];
    return {
      run: () => splitSum(P, C),
      reference: () => splitSumReference(parts, slices),
      bytes: 4 * (slices + 1) * size,
    };
  });
}

export const cases: BenchCase[] = [gradientOfA(8, 896, 18), gradientOfA(64, 2048, 8)];
