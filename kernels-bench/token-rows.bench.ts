import { fromArray } from "../src/gpu/tensor.ts";
import { addToColumns, takeColumns } from "../src/kernels/token-rows.ts";
import { addToColumnsReference } from "../test/reference/token-rows.ts";
import { type BenchCase, indicesOfRows, pick, repeatedValues, sized, spread } from "./harness.ts";

/** The scores of a few trained tokens among those of a vocabulary. */
function scores(rows: number, cols: number, count: number): BenchCase {
  return sized("token-rows take", `T${rows} V${cols} n${count}`, rows * count, (device) => {
    const y = repeatedValues(rows * cols, 1);
    const Y = fromArray(device, y, [rows, cols]);
    const tokens = Array.from({ length: count }, (_, i) => i * Math.floor(cols / count));
    const at = fromArray(device, Uint32Array.from(tokens), [count]);
    return {
      run: () => takeColumns(Y, at),
      reference: () => {
        const sample = spread(rows, 8);
        const places = sample.flatMap((row) => tokens.map((token) => row * cols + token));
        return { at: indicesOfRows(sample, count), values: pick(y, places) };
      },
      bytes: 8 * rows * count,
    };
  });
}

/** And these put among them. */
function adding(rows: number, cols: number, count: number): BenchCase {
  return sized("token-rows add", `T${rows} V${cols} n${count}`, rows * count, (device) => {
    const x = repeatedValues(rows * count, 1);
    const X = fromArray(device, x, [rows, count]);
    const tokens = Array.from({ length: count }, (_, i) => i * Math.floor(cols / count));
    const at = fromArray(device, Uint32Array.from(tokens), [count]);
    const zeros = new Float32Array(rows * cols);
    return {
      run: () => addToColumns(fromArray(device, zeros, [rows, cols]), X, at),
      reference: () => {
        const sample = spread(rows, 8);
        const part = pick(x, indicesOfRows(sample, count));
        const values = addToColumnsReference(new Float64Array(sample.length * cols), part, tokens, cols);
        return { at: indicesOfRows(sample, cols), values };
      },
      bytes: 12 * rows * count,
    };
  });
}

export const cases: BenchCase[] = [scores(512, 4096, 16), adding(64, 4096, 16)];
