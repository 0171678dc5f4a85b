import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import {
  type AttentionOptions,
  attention,
  attentionBackward,
  attentionDecode,
} from "../src/kernels/attention.ts";
import { type AttentionPass, attentionTile } from "../src/kernels/attention-matrix.ts";
import { placeTokens, wholeRows } from "../src/nn/geometry.ts";
import { attentionGradients, attentionReference } from "../test/reference/attention.ts";
import { type BenchCase, indicesOfRows, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

interface Size {
  heads: number;
  kvHeads: number;
  tokens: number;
  headDim: number;
}

const label = ({ heads, kvHeads, tokens, headDim }: Size) => `T${tokens} H${heads}/${kvHeads} D${headDim}`;

function prepare(device: Device, { heads, kvHeads, tokens, headDim }: Size) {
  const input = (count: number, seed: number) => {
    const values = repeatedValues(tokens * count * headDim, seed);
    return { values, tensor: fromArray(device, values, [1, tokens, count, headDim]) };
  };
  const [q, k, v, dO] = [input(heads, 1), input(kvHeads, 2), input(kvHeads, 3), input(heads, 4)];
  const { spans } = placeTokens(device, wholeRows(1, tokens));
  return { q, k, v, dO, spans, scale: 1 / Math.sqrt(headDim) };
}

type Inputs = ReturnType<typeof prepare>;

/** Multiply-adds of one product of all queries with the keys that they see, times two. */
const productFlops = ({ heads, tokens, headDim }: Size) => heads * tokens * (tokens + 1) * headDim;
const tensorBytes = ({ tokens, headDim }: Size, heads: number) => 4 * tokens * headDim * heads;

/** Queries, and keys, of all heads that are computed in f64. */
const SAMPLES = 4;

/** The reference problem of the query at one position: it sees the keys up to there. */
function queryAt(size: Size, { q, k, v, scale }: Inputs, position: number) {
  const { heads, kvHeads, headDim } = size;
  const row = (values: Float32Array, count: number) =>
    values.subarray(position * count * headDim, (position + 1) * count * headDim);
  const keys = (values: Float32Array) => values.subarray(0, (position + 1) * kvHeads * headDim);
  const problem = { batch: 1, queries: 1, keyStride: position + 1, heads, kvHeads, headDim, scale };
  return { row, problem, inputs: { q: row(q.values, heads), k: keys(k.values), v: keys(v.values) } };
}

function sampleOutputs(size: Size, inputs: Inputs) {
  const positions = spread(size.tokens, SAMPLES);
  const values = positions.flatMap((position) => {
    const { problem, inputs: one } = queryAt(size, inputs, position);
    return [...attentionReference(one, problem).o];
  });
  return { at: indicesOfRows(positions, size.heads * size.headDim), values };
}

function sampleQueryGradients(size: Size, inputs: Inputs) {
  const positions = spread(size.tokens, SAMPLES);
  const values = positions.flatMap((position) => {
    const { row, problem, inputs: one } = queryAt(size, inputs, position);
    return [...attentionGradients(one, problem, row(inputs.dO.values, size.heads)).dq];
  });
  return { at: indicesOfRows(positions, size.heads * size.headDim), values };
}

/** The last keys: only the last queries see them, so that their gradients take O(T) steps instead of O(T²). */
function sampleKeyGradients(size: Size, inputs: Inputs) {
  const { heads, kvHeads, headDim, tokens } = size;
  const queries = Math.min(SAMPLES, tokens);
  const last = (values: Float32Array, count: number) => values.subarray(-queries * count * headDim);
  const problem = { batch: 1, queries, keyStride: tokens, heads, kvHeads, headDim, scale: inputs.scale };
  const { q, k, v, dO } = inputs;
  const of = { q: last(q.values, heads), k: k.values, v: v.values };
  const { dk, dv } = attentionGradients(of, problem, last(dO.values, heads));
  const count = queries * kvHeads * headDim;
  const at = Array.from({ length: count }, (_, i) => tokens * kvHeads * headDim - count + i);
  return [dk, dv].map((d) => ({ at, values: d.subarray(-count) }));
}

/** The portable kernels run everywhere; where nothing faster does, timing them again tells nothing. */
const unfit = ({ info, profile }: Device) => {
  const hasOther = !profile.sharesWork && info.subgroupSize >= 4 && info.subgroupSize <= 16;
  return hasOther ? undefined : "the portable kernels are this device's only ones";
};

/** Kernels other than those that a device takes by itself, and why it has none of them. */
type Variant = "portable" | "matrix units";

const optionsOf = (variant: Variant | undefined): Pick<AttentionOptions, "portable" | "matrixUnits"> =>
  variant === "matrix units" ? { matrixUnits: true } : { portable: variant === "portable" };

const unfitOf = (variant: Variant | undefined, pass: AttentionPass, { headDim }: Size) =>
  variant && (variant === "portable" ? unfit : (device: Device) => withoutUnits(device, pass, headDim));

const withoutUnits = (device: Device, pass: AttentionPass, headDim: number) =>
  attentionTile(device, pass, headDim) ? undefined : "no matrix units that fit";

/** Operands on matrix units are rounded to f16. */
const toleranceOf = (variant: Variant | undefined) => variant === "matrix units" && { tolerance: 8e-3 };

const nameOf = (direction: string, variant: Variant | undefined) =>
  `attention ${direction}${variant ? ` (${variant})` : ""}`;

function forward(size: Size, variant?: Variant): BenchCase {
  const work = 2 * productFlops(size);
  const setup = (device: Device) => {
    const inputs = prepare(device, size);
    const { q, k, v, spans, scale } = inputs;
    return {
      run: () => attention(q.tensor, k.tensor, v.tensor, { scale, spans, ...optionsOf(variant) }).o,
      reference: () => sampleOutputs(size, inputs),
      ...toleranceOf(variant),
      flops: work,
      bytes: 2 * tensorBytes(size, size.heads) + 2 * tensorBytes(size, size.kvHeads),
    };
  };
  return sized(nameOf("forward", variant), label(size), work, setup, unfitOf(variant, "forward", size));
}

/** Five products are what the formula needs; the kernels recompute two of them rather than store the scores. */
function backward(size: Size, variant?: Variant): BenchCase {
  const work = 5 * productFlops(size);
  const setup = (device: Device) => {
    const inputs = prepare(device, size);
    const [q, k, v] = [inputs.q.tensor, inputs.k.tensor, inputs.v.tensor];
    const options = { scale: inputs.scale, spans: inputs.spans, ...optionsOf(variant) };
    const saved = { q, k, v, ...attention(q, k, v, options), ...options };
    return {
      run: () => {
        const { dq, dk, dv } = attentionBackward(inputs.dO.tensor, saved);
        return [dq, dk, dv];
      },
      reference: () => [sampleQueryGradients(size, inputs), ...sampleKeyGradients(size, inputs)],
      ...toleranceOf(variant),
      flops: work,
      bytes: 4 * tensorBytes(size, size.heads) + 4 * tensorBytes(size, size.kvHeads),
    };
  };
  return sized(nameOf("backward", variant), label(size), work, setup, unfitOf(variant, "backward", size));
}

function decode(size: Size): BenchCase {
  const { heads, kvHeads, tokens, headDim } = size;
  const name = `S${tokens} H${heads}/${kvHeads} D${headDim}`;
  return sized("attention decode", name, kvHeads * tokens * headDim, (device) => {
    const inputs = prepare(device, size);
    const { k, v, scale } = inputs;
    const { problem, inputs: one } = queryAt(size, inputs, tokens - 1);
    const q = fromArray(device, one.q, [1, 1, heads, headDim]);
    const { spans } = placeTokens(device, wholeRows(1, 1), [{ first: 0, end: tokens - 1 }]);
    return {
      run: () => attentionDecode(q, k.tensor, v.tensor, { scale, spans }),
      reference: () => attentionReference(one, problem).o,
      flops: 4 * heads * tokens * headDim,
      bytes: 2 * tensorBytes(size, kvHeads),
    };
  });
}

const sizes: Size[] = [
  ...[128, 1024].map((tokens) => ({ heads: 4, kvHeads: 4, tokens, headDim: 64 })),
  ...modelsAndTokens().map(({ model: { heads, kvHeads, headDim }, tokens }) => {
    return { heads, kvHeads, headDim, tokens };
  }),
  ...[128, 512, 2048].map((tokens) => ({ heads: 16, kvHeads: 8, tokens, headDim: 128 })),
];
const decodeSizes: Size[] = [
  { heads: 9, kvHeads: 3, tokens: 1024, headDim: 64 },
  { heads: 32, kvHeads: 8, tokens: 8192, headDim: 64 },
  { heads: 16, kvHeads: 8, tokens: 8192, headDim: 128 },
];

export const cases: BenchCase[] = [
  ...sizes.map((size) => forward(size)),
  ...sizes.map((size) => backward(size)),
  ...sizes.map((size) => forward(size, "portable")),
  ...sizes.map((size) => backward(size, "portable")),
  ...sizes.map((size) => forward(size, "matrix units")),
  ...sizes.map((size) => backward(size, "matrix units")),
  ...decodeSizes.map(decode),
];
