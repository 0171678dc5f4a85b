import * as encoderOps from "../autograd/encoder-ops.ts";
import * as ops from "../autograd/ops.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { type Document, endOf } from "./geometry.ts";
import type { Context } from "./module.ts";

/** How the states of a text's tokens become one vector, by the names of sentence-transformers. */
export const POOLING_MODES = [
  ...(["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] as const),
];
export type PoolingMode = (typeof POOLING_MODES)[number];

/** States `[B, T, d]` → a vector for each document, in their order: `[N, d]`. */
export function pool(mode: PoolingMode, x: Tensor, context: Context): Tensor {
  const { tape, geometry } = context;
  if (mode === "cls") return firstTokens(x, context);
  if (mode === "lasttoken") return lastTokens(x, context);
  const [, length = 0] = x.shape;
  const ranges = geometry.documents.flatMap(({ row, first, length: tokens }) => [
    row * length + first,
    tokens,
  ]);
  const documents = fromArray(x.device, Uint32Array.from(ranges), [geometry.documents.length, 2]);
  return mode === "max"
    ? encoderOps.maxPool(tape, x, documents)
    : encoderOps.meanPool(tape, x, documents, mode);
}

/** States of the first token of each document: `[B, T, d]` → `[N, d]`. */
export function firstTokens(x: Tensor, context: Context): Tensor {
  return tokenOfEach(x, context, ({ first }) => first);
}

/** States of the last token of each document: `[B, T, d]` → `[N, d]`. */
export function lastTokens(x: Tensor, context: Context): Tensor {
  return tokenOfEach(x, context, (document) => endOf(document) - 1);
}

function tokenOfEach(
  x: Tensor,
  { tape, geometry }: Context,
  placeIn: (document: Document) => number,
): Tensor {
  const [, length = 0] = x.shape;
  const rows = Uint32Array.from(geometry.documents, (document) => document.row * length + placeIn(document));
  return ops.gatherRows(tape, x, fromArray(x.device, rows, [rows.length]));
}
