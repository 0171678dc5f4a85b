// Problems of attention with documents, padding and caches, for the tests of all its kernels.
import type { Device } from "../../src/gpu/device.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import type { AttentionOptions } from "../../src/kernels/attention.ts";
import {
  type AttentionInputs,
  type AttentionProblem,
  type RowLayout,
  type Span,
  spansOf,
  spansOfRow,
} from "../reference/attention.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats } from "./device.ts";

/** A problem and what it is for. */
export interface Case extends Partial<AttentionProblem> {
  name: string;
  /** Also tested with the portable kernels, where the device has faster ones. */
  portable?: boolean;
  /** The rows of the batch; one document each, as long as the row, unless given. */
  rows?: RowLayout[];
}

/** The whole of a problem, with one document a row unless rows are given. */
export function problemOf({ rows, ...given }: Omit<Case, "name" | "portable">): AttentionProblem {
  const { queries = 3, headDim = 8, heads = 2 } = given;
  const scale = 1 / Math.sqrt(headDim);
  const spans = rows?.flatMap((row) => spansOf(queries, row));
  const batch = rows?.length ?? 1;
  return { batch, queries, heads, kvHeads: heads, headDim, keyStride: queries, scale, ...given, spans };
}

/** Rows with one document each, padded on the right. */
export const lengths = (...all: number[]): RowLayout[] => all.map((n) => ({ documents: n > 0 ? [n] : [] }));

/** Packed rows, one of them padded on both sides, and documents that begin and end within a block or at its edge. */
export const PACKED: RowLayout[] = [
  { documents: [1, 15, 16, 5, 32, 1] },
  { left: 3, documents: [30, 7, 20] },
  { left: 33, documents: [37] },
  { documents: [64] },
];

/** Random inputs and an upstream gradient, rounded as wished. */
export function inputsOf(
  p: AttentionProblem,
  rounded: (x: number) => number = (x) => x,
): AttentionInputs & { dO: Float64Array } {
  const values = (count: number, seed: number) => Float64Array.from(randomValues(count, seed), rounded);
  const queryValues = p.batch * p.queries * p.heads * p.headDim;
  const keyValues = p.batch * p.keyStride * p.kvHeads * p.headDim;
  return {
    q: values(queryValues, 1),
    k: values(keyValues, 2),
    v: values(keyValues, 3),
    dO: values(queryValues, 4),
  };
}

/** Inputs and options on a device. */
export function upload(
  device: Device,
  p: AttentionProblem,
  inputs: AttentionInputs & { dO: ArrayLike<number> },
) {
  const keyShape = [p.batch, p.keyStride, p.kvHeads, p.headDim];
  const queryShape = [p.batch, p.queries, p.heads, p.headDim];
  const { batch, queries, keyStride, heads, kvHeads, headDim, spans: _, sinks, ...rest } = p;
  const spans = Array.from({ length: batch }, (_, b) => spansOfRow(p, b).spans);
  const options: AttentionOptions = {
    ...(rest as Omit<AttentionOptions, "spans">),
    spans: fromArray(device, Uint32Array.from(spans.flat(2)), [batch, queries, 2]),
    sinks: sinks && floats(device, sinks, [heads]),
  };
  return {
    q: floats(device, inputs.q, queryShape),
    k: floats(device, inputs.k, keyShape),
    v: floats(device, inputs.v, keyShape),
    dO: floats(device, inputs.dO, queryShape),
    options,
  };
}

/** Padding and the unused rows of a cache may hold anything: here NaN, which must reach no result. */
export function withGarbage(p: AttentionProblem, inputs: AttentionInputs & { dO: Float64Array }) {
  const rows = Array.from({ length: p.batch }, (_, b) => spansOfRow(p, b));
  const isQuery = (b: number, t: number) => {
    const [first, end] = rows[b]!.spans[t] as Span;
    return first < end;
  };
  const isKey = (b: number, key: number) =>
    rows[b]?.spans.some(([first, end]) => first <= key && key < end) === true;
  const spoil = (
    values: ArrayLike<number>,
    rowsOf: number,
    width: number,
    isReal: (b: number, row: number) => boolean,
  ) =>
    Float64Array.from(values, (value, i) => {
      const row = Math.floor(i / width);
      return isReal(Math.floor(row / rowsOf), row % rowsOf) ? value : Number.NaN;
    });
  const [queryWidth, keyWidth] = [p.heads * p.headDim, p.kvHeads * p.headDim];
  return {
    q: spoil(inputs.q, p.queries, queryWidth, isQuery),
    k: spoil(inputs.k, p.keyStride, keyWidth, isKey),
    v: spoil(inputs.v, p.keyStride, keyWidth, isKey),
    dO: spoil(inputs.dO, p.queries, queryWidth, isQuery),
  };
}
