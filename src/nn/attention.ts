import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { RmsNormOptions } from "../kernels/rms-norm.ts";
import { linear, linearSiblings } from "./linear.ts";
import { type Context, call, callAll, type Leaf, type Module, type Siblings, tensorsOf } from "./module.ts";
import { type Norm, rmsNorm } from "./norm.ts";
import type { RopeAngles } from "./rope-angles.ts";
import { virtualKeys } from "./virtual-tokens.ts";
import type { Weights } from "./weights.ts";

/** Sizes and options of self-attention. */
export interface AttentionConfig {
  hiddenSize: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  qkvBias: boolean;
  outputBias: boolean;
  /** Queries, keys and values come from one matrix `qkv_proj`, in this order, instead of three. */
  fused: boolean;
  /** RMSNorm of queries and keys before the rotation: of each head, or of all heads together. */
  qkNorm: "none" | "head" | "all-heads";
  norm: RmsNormOptions;
  /** Factor of the scores; 1/√headDim in most families. */
  queryScale: number;
  /** Scores become softcap · tanh(s / softcap); 0: unchanged. */
  softcap: number;
  /** A query sees this many positions up to and including its own; 0: all. */
  window: number;
  /** Each head has a score of its own, `sinks`, that takes its share of the softmax and mixes nothing in. */
  sinks: boolean;
  /** The rotary embedding; without one the layer knows order from the causal mask alone. */
  rope: RopeAngles | undefined;
  /** Number of this layer, for the cache. */
  layer: number;
}

/** Causal self-attention with grouped queries (GQA, Ainslie et al. 2023, arXiv 2305.13245). */
export function selfAttention(weights: Weights, config: AttentionConfig): Module {
  const { hiddenSize, numHeads, numKvHeads, headDim, outputBias, rope } = config;
  const projection = config.fused ? fusedProjection(weights, config) : separateProjections(weights, config);
  const o = linear(weights.at("o_proj"), numHeads * headDim, hiddenSize, { bias: outputBias });
  const qNorm = queryKeyNorm(weights.at("q_norm"), numHeads, config);
  const kNorm = queryKeyNorm(weights.at("k_norm"), numKvHeads, config);
  const sinks = config.sinks ? weights.tensor("sinks", [numHeads], { storage: "f32" }) : undefined;

  const plain: AttendOptions = { ...config, sinks: undefined };

  const attention = {
    path: weights.path,
    children: [...projection.siblings.members, o, ...qNorm.modules, ...kNorm.modules],
    siblings: projection.siblings,
    ...(sinks && { tensors: { sinks } }),
    forward: (x: Tensor, context: Context): Tensor =>
      call(o, mix(projection.project(x, context), context), context),
    ...(!outputBias && {
      addTo(x: Tensor, norm: Norm, context: Context) {
        const projected = projection.siblings.ofNorm?.(x, norm.onTheWay(context), context);
        const qkv = projected ?? projection.project(call(norm, x, context), context);
        ops.addLinear(x, mix(qkv as [Tensor, Tensor, Tensor], context), tensorsOf(o, context).weight);
      },
    }),
  };
  return attention;

  /** What the heads mix of queries, keys and values, side by side. */
  function mix([q, k, v]: readonly [Tensor, Tensor, Tensor], context: Context): Tensor {
    const [batch, length] = q.shape as [number, number];
    const heads = (y: Tensor, count: number) => y.reshape([batch, length, count, headDim]);
    const normed = heads(qNorm.apply(q, context), numHeads);
    const normedKeys = heads(kNorm.apply(k, context), numKvHeads);
    const [queries, keys] = rope ? rotate(rope, normed, normedKeys, context) : [normed, normedKeys];
    const own = sinks && { ...plain, sinks: tensorsOf(attention as Leaf, context).sinks as Tensor };
    const mixed = attend(own ?? plain, queries, keys, heads(v, numKvHeads), context);
    return mixed.reshape([batch, length, numHeads * headDim]);
  }
}

/** Queries and keys `[B, T, H, D]`, rotated by their places. */
export function rotate(
  rope: RopeAngles,
  q: Tensor,
  k: Tensor,
  { tape, geometry: { longest, positions } }: Context,
): [q: Tensor, k: Tensor] {
  return ops.ropePair(tape, q, k, rope.upTo(longest), positions);
}

/** Queries, keys and values of x `[B, T, d]` by projections of equal size, each `[B, T, H, d / H]`. */
export function callHeads(
  qkv: Siblings,
  x: Tensor,
  numHeads: number,
  context: Context,
): [q: Tensor, k: Tensor, v: Tensor] {
  const [batch = 0, length = 0] = x.shape;
  const heads = callAll(qkv, x, context).map((y) =>
    y.reshape([batch, length, numHeads, y.columns / numHeads]),
  );
  return heads as [Tensor, Tensor, Tensor];
}

/** What {@link attend} needs to know. */
export interface AttendOptions extends Pick<AttentionConfig, "queryScale" | "layer"> {
  window?: number;
  softcap?: number;
  sinks?: Tensor | undefined;
  /** False: every token sees every other. */
  causal?: boolean;
}

/** Attention of `[B, T, H, D]` to the keys of each token's document, and to those in the cache where there is one. */
export function attend(
  { queryScale: scale, window = 0, softcap = 0, sinks, causal = true, layer }: AttendOptions,
  queries: Tensor,
  ownKeys: Tensor,
  ownValues: Tensor,
  context: Context,
): Tensor {
  const { tape, cache, geometry } = context;
  const options = { scale, window, softcap, sinks, causal, spans: geometry.spans };
  const [keys, values] = virtualKeys(layer, ownKeys, ownValues, context);
  if (!cache) return ops.attention(tape, queries, keys, values, options);
  const all = cache.append(layer, keys, values, geometry);
  return ops.attention(undefined, queries, all.k, all.v, options);
}

/** How queries, keys and values `[B, T, heads · D]` come from x. */
interface Projection {
  siblings: Siblings;
  project(x: Tensor, context: Context): [q: Tensor, k: Tensor, v: Tensor];
}

function separateProjections(
  weights: Weights,
  { hiddenSize, numHeads, numKvHeads, headDim, qkvBias: bias }: AttentionConfig,
): Projection {
  const q = linear(weights.at("q_proj"), hiddenSize, numHeads * headDim, { bias });
  const k = linear(weights.at("k_proj"), hiddenSize, numKvHeads * headDim, { bias });
  const v = linear(weights.at("v_proj"), hiddenSize, numKvHeads * headDim, { bias });
  const siblings = linearSiblings([q, k, v]);
  return {
    siblings,
    project: (x, context) => callAll(siblings, x, context) as [Tensor, Tensor, Tensor],
  };
}

/** One linear layer, as the checkpoint has it: adapters of such a model target it as a whole. */
function fusedProjection(
  weights: Weights,
  { hiddenSize, numHeads, numKvHeads, headDim, qkvBias: bias }: AttentionConfig,
): Projection {
  const [queries, keys] = [numHeads * headDim, numKvHeads * headDim];
  const qkv = linear(weights.at("qkv_proj"), hiddenSize, queries + 2 * keys, { bias });
  return {
    siblings: { members: [qkv] },
    project(x, context) {
      const y = call(qkv, x, context);
      const part = (start: number, width: number) => ops.sliceColumns(context.tape, y, start, start + width);
      return [part(0, queries), part(queries, keys), part(queries + keys, keys)];
    },
  };
}

/** The norm of queries or keys `[B, T, heads · D]`, where there is one. */
function queryKeyNorm(
  weights: Weights,
  heads: number,
  { qkNorm, headDim, norm: options }: AttentionConfig,
): { modules: readonly Module[]; apply(x: Tensor, context: Context): Tensor } {
  if (qkNorm === "none") return { modules: [], apply: (x) => x };
  const size = qkNorm === "head" ? headDim : heads * headDim;
  const norm = rmsNorm(weights, size, options);
  return { modules: [norm], apply: (x, context) => call(norm, x.reshape([x.size / size, size]), context) };
}
