import { fromArray } from "../src/gpu/tensor.ts";
import { gatherRows, scatterRows } from "../src/kernels/rows.ts";
import { gatherRowsReference } from "../test/reference/rows.ts";
import { type BenchCase, indicesOfRows, pick, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

interface Size {
  rows: number;
  cols: number;
}

const label = ({ rows, cols }: Size) => `T${rows} K${cols}`;

/** Every other row, as when half of the tokens have a label. */
const indexOf = ({ rows }: Size) => Array.from({ length: rows / 2 }, (_, m) => 2 * m);

function gather(size: Size): BenchCase {
  const { rows, cols } = size;
  return sized("rows gather half", label(size), rows * cols, (device) => {
    const x = repeatedValues(rows * cols, 1);
    const index = indexOf(size);
    const X = fromArray(device, x, [rows, cols]);
    const I = fromArray(device, Uint32Array.from(index), [index.length]);
    return {
      run: () => gatherRows(X, I),
      reference: () => {
        const sample = spread(index.length, 8);
        const chosen = sample.map((m) => index[m] as number);
        return { at: indicesOfRows(sample, cols), values: gatherRowsReference(x, chosen, cols) };
      },
      bytes: 4 * rows * cols,
    };
  });
}

function scatter(size: Size): BenchCase {
  const { rows, cols } = size;
  return sized("rows scatter half", label(size), rows * cols, (device) => {
    const index = indexOf(size);
    const dy = repeatedValues(index.length * cols, 1);
    const dY = fromArray(device, dy, [index.length, cols]);
    const I = fromArray(device, Uint32Array.from(index), [index.length]);
    return {
      run: () => scatterRows(dY, I, rows),
      reference: () => {
        const sample = spread(rows, 8);
        const values = sample.flatMap((row) => {
          const at = indicesOfRows([row / 2], cols);
          return row % 2 === 0 ? [...pick(dy, at)] : new Array<number>(cols).fill(0);
        });
        return { at: indicesOfRows(sample, cols), values };
      },
      bytes: 6 * rows * cols,
    };
  });
}

const sizes = modelsAndTokens().map(({ model, tokens }): Size => ({ rows: tokens, cols: model.hidden }));

export const cases: BenchCase[] = [...sizes.map(gather), ...sizes.map(scatter)];
