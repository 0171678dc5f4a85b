import type { Device } from "../src/gpu/device.ts";
import { fromArray, type Tensor } from "../src/gpu/tensor.ts";
import { attention, attentionBackward, attentionDecode } from "../src/kernels/attention.ts";
import { attentionGradients, attentionReference } from "../test/reference/attention.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

interface Size {
  heads: number;
  kvHeads: number;
  queries: number;
  headDim: number;
  portable?: boolean;
}

function label({ heads, kvHeads, queries, headDim, portable }: Size): string {
  return `H ${heads}/${kvHeads}, T ${queries}, D ${headDim}${portable ? ", portable" : ""}`;
}

function prepare(device: Device, { heads, kvHeads, queries, headDim, portable = false }: Size) {
  const problem = {
    batch: 1,
    queries,
    keyStride: queries,
    heads,
    kvHeads,
    headDim,
    scale: 1 / Math.sqrt(headDim),
  };
  const values = (count: number, seed: number) => randomValues(queries * count * headDim, seed);
  const inputs = { q: values(heads, 1), k: values(kvHeads, 2), v: values(kvHeads, 3) };
  const dO = values(heads, 4);
  const upload = (data: Float64Array, count: number): Tensor =>
    fromArray(device, Float32Array.from(data), [1, queries, count, headDim]);
  const [q, k, v] = [upload(inputs.q, heads), upload(inputs.k, kvHeads), upload(inputs.v, kvHeads)];
  return {
    problem,
    inputs,
    dO,
    q,
    k,
    v,
    dOut: upload(dO, heads),
    options: { scale: problem.scale, portable },
  };
}

/** Multiply-adds of one product of all queries with the keys that they see, times two. */
const productFlops = ({ heads, queries, headDim }: Size) => heads * queries * (queries + 1) * headDim;

function forward(size: Size): BenchCase {
  return {
    name: `attention forward ${label(size)}`,
    setup(device) {
      const { problem, inputs, q, k, v, options } = prepare(device, size);
      return {
        run: () => attention(q, k, v, options).o,
        reference: () => attentionReference(inputs, problem).o,
        flops: 2 * productFlops(size),
      };
    },
  };
}

/** The five products that a backward pass needs at least; the kernels recompute two. */
function both(size: Size): BenchCase {
  return {
    name: `attention forward+backward ${label(size)}`,
    setup(device) {
      const { problem, inputs, dO, q, k, v, dOut, options } = prepare(device, size);
      return {
        run: () => attentionBackward(dOut, { q, k, v, ...attention(q, k, v, options), ...options }).dk,
        reference: () => attentionGradients(inputs, problem, dO).dk,
        flops: 7 * productFlops(size),
      };
    },
  };
}

function decode(heads: number, keys: number, headDim: number): BenchCase {
  return {
    name: `attention decode H ${heads}, S ${keys}, D ${headDim}`,
    setup(device) {
      const { problem, inputs, k, v, options } = prepare(device, {
        heads,
        kvHeads: heads,
        queries: keys,
        headDim,
      });
      const query = inputs.q.subarray(0, heads * headDim);
      const q = fromArray(device, Float32Array.from(query), [1, 1, heads, headDim]);
      return {
        run: () => attentionDecode(q, k, v, options),
        reference: () => attentionReference({ ...inputs, q: query }, { ...problem, queries: 1 }).o,
        bytes: 2 * 4 * heads * keys * headDim,
      };
    },
  };
}

const sizes: Size[] = [
  { heads: 4, kvHeads: 4, queries: 128, headDim: 64 },
  { heads: 4, kvHeads: 4, queries: 512, headDim: 64 },
  { heads: 4, kvHeads: 4, queries: 128, headDim: 32 },
  { heads: 14, kvHeads: 2, queries: 128, headDim: 64 },
];
const variants = sizes.flatMap((size) => [size, { ...size, portable: true }]);

export const cases: BenchCase[] = [...variants.map(forward), ...variants.map(both), decode(4, 1024, 64)];
