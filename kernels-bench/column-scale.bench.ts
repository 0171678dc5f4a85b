import { fromArray } from "../src/gpu/tensor.ts";
import { columnScale, columnScaleBackward } from "../src/kernels/column-scale.ts";
import { columnScaleReference } from "../test/reference/column-scale.ts";
import { type BenchCase, indicesOfRows, pick, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

function forward(rows: number, cols: number): BenchCase {
  return sized("column-scale", `T${rows} K${cols}`, rows * cols, (device) => {
    const [x, scale] = [repeatedValues(rows * cols, 1), repeatedValues(cols, 2)];
    const [X, S] = [fromArray(device, x, [rows, cols]), fromArray(device, scale, [cols])];
    return {
      run: () => columnScale(X, S),
      reference: () => {
        const at = indicesOfRows(spread(rows, 4), cols);
        return { at, values: columnScaleReference(pick(x, at), scale) };
      },
      flops: rows * cols,
      bytes: 8 * rows * cols,
    };
  });
}

function backward(rows: number, cols: number): BenchCase {
  return sized("column-scale backward", `T${rows} K${cols}`, rows * cols, (device) => {
    const [dy, x] = [repeatedValues(rows * cols, 1), repeatedValues(rows * cols, 2)];
    const [DY, X] = [fromArray(device, dy, [rows, cols]), fromArray(device, x, [rows, cols])];
    const scale = fromArray(device, repeatedValues(cols, 3), [cols]);
    return {
      run: () => columnScaleBackward(DY, { x: X, scale }).dscale,
      reference: () => {
        const sums = new Float64Array(cols);
        for (let i = 0; i < rows * cols; i++) sums[i % cols]! += dy[i]! * x[i]!;
        return sums;
      },
      flops: 3 * rows * cols,
      bytes: 12 * rows * cols,
    };
  });
}

export const cases: BenchCase[] = [forward, backward].flatMap((make) =>
  modelsAndTokens().map(({ model, tokens }) => make(tokens, model.hidden)),
);
