import { fromArray } from "../src/gpu/tensor.ts";
import { rope, ropeBackward, ropePair, ropeTable, uploadRopeTable } from "../src/kernels/rope.ts";
import { ropeFrequencies } from "../src/kernels/rope-frequencies.ts";
import { placeTokens, wholeRows } from "../src/nn/geometry.ts";
import { ropeReference } from "../test/reference/rope.ts";
import { type BenchCase, type Expected, indicesOfRows, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

interface Size {
  tokens: number;
  heads: number;
  headDim: number;
}

/** Some rows of x `[tokens, heads · headDim]`, rotated. */
function rotatedRows(x: Float32Array, { tokens, heads, headDim }: Size, frequencies: Float64Array): Expected {
  const cols = heads * headDim;
  const sample = spread(tokens, 8);
  const values = sample.flatMap((token) => {
    const row = x.subarray(token * cols, (token + 1) * cols);
    return [...ropeReference(row, { shape: [1, 1, heads, headDim], frequencies, positions: [token] })];
  });
  return { at: indicesOfRows(sample, cols), values };
}

function rotation({ tokens, heads, headDim }: Size, direction: "forward" | "backward"): BenchCase {
  const cols = heads * headDim;
  const sign = direction === "forward" ? 1 : -1;
  return sized(`rope ${direction}`, `T${tokens} H${heads} D${headDim}`, tokens * cols, (device) => {
    const options = { headDim, theta: 10_000 };
    const x = repeatedValues(tokens * cols, 1);
    const X = fromArray(device, x, [1, tokens, heads, headDim]);
    const table = uploadRopeTable(device, ropeTable({ ...options, length: tokens }));
    const { positions } = placeTokens(device, wholeRows(1, tokens));
    return {
      run: () => (direction === "forward" ? rope : ropeBackward)(X, table, positions),
      reference: () => {
        const frequencies = ropeFrequencies(options).map((frequency) => sign * frequency);
        return rotatedRows(x, { tokens, heads, headDim }, frequencies);
      },
      flops: 3 * x.length,
      bytes: 8 * x.length + 4 * tokens * headDim,
    };
  });
}

/** Queries and keys in one dispatch, as in a layer; twice the heads are read and written. */
function pair({ tokens, heads, headDim }: Size): BenchCase {
  const cols = heads * headDim;
  return sized("rope pair", `T${tokens} H${heads} D${headDim}`, 2 * tokens * cols, (device) => {
    const options = { headDim, theta: 10_000 };
    const values = [1, 2].map((seed) => repeatedValues(tokens * cols, seed));
    const [q, k] = values.map((x) => fromArray(device, x, [1, tokens, heads, headDim]));
    const table = uploadRopeTable(device, ropeTable({ ...options, length: tokens }));
    const { positions } = placeTokens(device, wholeRows(1, tokens));
    return {
      run: () => ropePair(q!, k!, table, positions),
      reference: () =>
        values.map((x) => rotatedRows(x, { tokens, heads, headDim }, ropeFrequencies(options))),
      flops: 6 * tokens * cols,
      bytes: 16 * tokens * cols + 4 * tokens * headDim,
    };
  });
}

const sizes: Size[] = [
  ...modelsAndTokens().map(({ model, tokens }) => ({ tokens, heads: model.heads, headDim: model.headDim })),
  { tokens: 2048, heads: 16, headDim: 128 },
];

export const cases: BenchCase[] = sizes.flatMap((size) => [
  rotation(size, "forward"),
  rotation(size, "backward"),
  pair(size),
]);
