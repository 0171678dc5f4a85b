import * as ops from "../autograd/ops.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { type Document, endOf } from "./geometry.ts";
import type { Context } from "./module.ts";

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
