import * as encoderOps from "../autograd/encoder-ops.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { firstTokens, lastTokens } from "./chosen-tokens.ts";
import type { Context } from "./module.ts";
import type { PoolingMode } from "./pooling-modes.ts";

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
