import { fromArray } from "../src/gpu/tensor.ts";
import { blockProduct } from "../src/kernels/block-rotation.ts";
import { type BenchCase, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

/** Rows cut into blocks of 32, each times its own matrix, as OFT rotates them. */
function product(rows: number, columns: number): BenchCase {
  const size = 32;
  return sized("block-rotation product", `T${rows} K${columns}`, rows * columns, (device) => {
    const [x, m] = [repeatedValues(rows * columns, 1), repeatedValues(columns * size, 2)];
    const X = fromArray(device, x, [rows, columns]);
    const M = fromArray(device, m, [columns / size, size, size]);
    return {
      run: () => blockProduct(X, M),
      reference: () => {
        const at = spread(rows * columns, 256);
        const values = Float64Array.from(at, (place) => {
          const column = place % columns;
          const first = place - (column % size);
          const block = Math.floor(column / size) * size * size;
          let sum = 0;
          for (let i = 0; i < size; i++) sum += x[first + i]! * m[block + i * size + (column % size)]!;
          return sum;
        });
        return { at, values };
      },
      flops: 2 * rows * columns * size,
      bytes: 8 * rows * columns + 4 * columns * size,
    };
  });
}

export const cases: BenchCase[] = modelsAndTokens()
  .filter(({ model }) => model.hidden % 32 === 0)
  .map(({ model, tokens }) => product(tokens, model.hidden));
