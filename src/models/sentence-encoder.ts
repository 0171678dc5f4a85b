import type { Tensor } from "../gpu/tensor.ts";
import type { Context } from "../nn/module.ts";
import { unitLength } from "../nn/norm.ts";
import { pool } from "../nn/pooling.ts";
import type { PoolingMode } from "../nn/pooling-modes.ts";
import type { SentenceEncoder } from "./model.ts";

/**
 * What makes an encoder of texts out of one of tokens: pooling, and scaling to length 1.
 * @param encode ids `[B, T]` → states `[B, T, hidden]`
 */
export function pooledBy(
  pooling: PoolingMode,
  encode: (ids: Tensor, context: Context) => Tensor,
): Pick<SentenceEncoder, "pooling" | "embed" | "withPooling"> {
  return {
    pooling,
    embed: (ids, context) => unitLength(context.tape, pool(pooling, encode(ids, context), context)),
    withPooling: (mode) => pooledBy(mode, encode),
  };
}
