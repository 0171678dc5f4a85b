import { fromArray } from "../src/gpu/tensor.ts";
import { inverseNorms, rowSquares } from "../src/kernels/row-norms.ts";
import { type BenchCase, indicesOfRows, pick, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

function squares(rows: number, cols: number): BenchCase {
  return sized("row-norms squares", `N${rows} K${cols}`, rows * cols, (device) => {
    const x = repeatedValues(rows * cols, 1);
    const X = fromArray(device, x, [rows, cols]);
    return {
      run: () => rowSquares(X),
      reference: () => {
        const at = spread(rows, 4);
        const values = Float64Array.from(at, (row) =>
          pick(x, indicesOfRows([row], cols)).reduce((sum, value) => sum + value * value, 0),
        );
        return { at, values };
      },
      flops: 2 * rows * cols,
      bytes: 4 * rows * cols,
    };
  });
}

function inverse(rows: number, r: number): BenchCase {
  return sized("row-norms inverse", `N${rows} r${r}`, rows * r, (device) => {
    const [b, p] = [repeatedValues(rows * r, 1), repeatedValues(rows * r, 2)];
    const sums = new Float32Array(rows).fill(4 * r);
    const [S, B, P] = [
      fromArray(device, sums, [rows]),
      fromArray(device, b, [rows, r]),
      fromArray(device, p, [r, rows]),
    ];
    return {
      run: () => inverseNorms(S, { B, P }),
      reference: () => {
        const at = spread(rows, 64);
        const values = Float64Array.from(at, (row) => {
          let total = sums[row]!;
          for (let k = 0; k < r; k++) total += b[row * r + k]! * p[k * rows + row]!;
          return 1 / Math.sqrt(total);
        });
        return { at, values };
      },
      flops: 2 * rows * r,
      bytes: 8 * rows * r,
    };
  });
}

const sizes = new Set(modelsAndTokens().map(({ model }) => model.hidden));

export const cases: BenchCase[] = [...sizes].flatMap((size) => [squares(size, size), inverse(size, 16)]);
