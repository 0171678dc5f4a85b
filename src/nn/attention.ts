import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { RopeTensors } from "../kernels/rope.ts";
import { linear } from "./linear.ts";
import { type Context, call, type Module } from "./module.ts";
import type { Weights } from "./weights.ts";

/** Sizes and options of self-attention. */
export interface AttentionConfig {
  hiddenSize: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  qkvBias: boolean;
  outputBias: boolean;
  /** Factor of the scores; 1/√headDim in most families. */
  queryScale: number;
  /** cos and sin of the rotary embedding. */
  rope: RopeTensors;
  /** Number of this layer, for the cache. */
  layer: number;
}

/** Causal self-attention with rotary positions and grouped queries (GQA, Ainslie et al. 2023, arXiv 2305.13245). */
export function selfAttention(weights: Weights, config: AttentionConfig): Module {
  const { hiddenSize, numHeads, numKvHeads, headDim, qkvBias, outputBias, queryScale, rope, layer } = config;
  const q = linear(weights.at("q_proj"), hiddenSize, numHeads * headDim, { bias: qkvBias });
  const k = linear(weights.at("k_proj"), hiddenSize, numKvHeads * headDim, { bias: qkvBias });
  const v = linear(weights.at("v_proj"), hiddenSize, numKvHeads * headDim, { bias: qkvBias });
  const o = linear(weights.at("o_proj"), numHeads * headDim, hiddenSize, { bias: outputBias });

  function attend(queries: Tensor, keys: Tensor, values: Tensor, { tape, cache, lengths }: Context): Tensor {
    if (!cache) return ops.attention(tape, queries, keys, values, { scale: queryScale, lengths });
    const past = cache.length;
    const all = cache.append(layer, keys, values);
    const valid = past + (keys.shape[1] as number);
    return ops.attention(undefined, queries, all.k, all.v, { scale: queryScale, past, keys: valid });
  }

  return {
    path: weights.path,
    children: [q, k, v, o],
    forward(x, context) {
      const [batch, length] = x.shape as [number, number];
      const heads = (y: Tensor, count: number) => y.reshape([batch, length, count, headDim]);
      const position = context.cache?.length ?? 0;
      const queries = ops.rope(context.tape, heads(call(q, x, context), numHeads), rope, position);
      const keys = ops.rope(context.tape, heads(call(k, x, context), numKvHeads), rope, position);
      const values = heads(call(v, x, context), numKvHeads);
      const mixed = attend(queries, keys, values, context);
      return call(o, mixed.reshape([batch, length, numHeads * headDim]), context);
    },
  };
}
