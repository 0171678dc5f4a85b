import * as ops from "../autograd/ops.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import type { Context } from "./module.ts";

/** How the states of a text's tokens become one vector, by the names of sentence-transformers. */
export const POOLING_MODES = [
  ...(["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] as const),
];
export type PoolingMode = (typeof POOLING_MODES)[number];

/** States `[B, T, d]` → `[B, d]`; rows are padded on the right. */
export function pool(mode: PoolingMode, x: Tensor, context: Context): Tensor {
  const { tape, lengths } = context;
  switch (mode) {
    case "cls":
      return firstTokens(x, context);
    case "lasttoken":
      return lastTokens(x, context);
    case "max":
      return ops.maxPool(tape, x, lengths);
    default:
      return ops.meanPool(tape, x, { kind: mode, lengths });
  }
}

/** States of the first token of each text: `[B, T, d]` → `[B, d]`. */
export function firstTokens(x: Tensor, { tape }: Context): Tensor {
  const [batch = 0, length = 0] = x.shape;
  const rows = Uint32Array.from({ length: batch }, (_, b) => b * length);
  return ops.gatherRows(tape, x, fromArray(x.device, rows, [batch]));
}

/** States of the last token of each text: `[B, T, d]` → `[B, d]`. */
export function lastTokens(x: Tensor, { tape, lengths, counts }: Context): Tensor {
  if (lengths && !counts) fail("lastTokens", "lengths are given without counts", "which token is the last?");
  const [batch = 0, length = 0] = x.shape;
  const rows = Uint32Array.from({ length: batch }, (_, b) => b * length + (counts?.[b] ?? length) - 1);
  return ops.gatherRows(tape, x, fromArray(x.device, rows, [batch]));
}
