import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import type { RopeOptions } from "../kernels/rope-frequencies.ts";
import { addingBranch, addsInPlace } from "../nn/adding.ts";
import { selfAttention } from "../nn/attention.ts";
import { type Branch, through } from "../nn/branch.ts";
import { KvCache } from "../nn/cache.ts";
import { type Embedding, embedding, withNoise } from "../nn/embedding.ts";
import type { ExpertsConfig, MakeMixture } from "../nn/expert-layer.ts";
import { headScores } from "../nn/head.ts";
import { outputLayer } from "../nn/linear.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { type Context, call, type Module } from "../nn/module.ts";
import { layerNorm, type Norm, rmsNorm, takesSum } from "../nn/norm.ts";
import { replicatedOrder, replicationProblem } from "../nn/replicate.ts";
import { RopeAngles } from "../nn/rope-angles.ts";
import { type StreamLayer, stack } from "../nn/stack.ts";
import { withVirtualTokens } from "../nn/virtual-tokens.ts";
import type { Weights } from "../nn/weights.ts";
import type { BuiltModel, Replicable } from "./family.ts";

/** What makes one family of decoders differ from another: sizes, and fields named for what they do. */
export interface DecoderConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  maxPositions: number;
  /** One entry for each layer. */
  layers: readonly LayerConfig[];
  /** RMSNorm, or LayerNorm with bias. */
  normKind: "rms" | "layer";
  normEps: number;
  /** Added to the weight of every norm: 1 where checkpoints store w − 1. */
  normOffset: 0 | 1;
  norms: NormNames;
  activation: Activation;
  qkvBias: boolean;
  outputBias: boolean;
  mlpBias: boolean;
  /** Checkpoints hold `qkv_proj` and `gate_up_proj`. */
  fusedProjections: boolean;
  qkNorm: "none" | "head" | "all-heads";
  queryScale: number;
  /** Scores of attention become cap · tanh(s / cap); 0: unchanged. */
  attentionSoftcap: number;
  /** Each head of attention has a score that takes its share of the softmax and mixes nothing in. */
  sinks: boolean;
  embeddingScale: number;
  /** The scale is for whatever takes the place of words' vectors, too: virtual tokens. */
  scalesInputs: boolean;
  /** Factor of what attention and MLP add to the residual stream. */
  residualScale: number;
  logitScale: number;
  /** Logits become cap · tanh(l / cap); 0: unchanged. */
  logitSoftcap: number;
  /** The output layer shares the embedding's matrix. */
  tied: boolean;
}

/** What differs from layer to layer. */
export interface LayerConfig {
  /** A query sees this many positions up to and including its own; 0: all. */
  window: number;
  /** Undefined: positions are not embedded. Layers with the same object share their tables. */
  rope: RopeOptions | undefined;
  /** A mixture of experts takes the place of the MLP. */
  experts?: ExpertsConfig;
}

/** Names of a layer's norms in the checkpoint; a norm without a name does not exist. */
export interface NormNames {
  beforeAttention?: string;
  afterAttention?: string;
  beforeMlp?: string;
  afterMlp?: string;
}

function decoderLayer(
  weights: Weights,
  c: DecoderConfig,
  i: number,
  rope: RopeAngles | undefined,
  makeMixture: MakeMixture | undefined,
): StreamLayer {
  const norm = { eps: c.normEps, offset: c.normOffset };
  const { window, experts } = c.layers[i] as LayerConfig;
  const [softcap, fused] = [c.attentionSoftcap, c.fusedProjections];
  const attention = selfAttention(weights.at("self_attn"), {
    ...c,
    softcap,
    fused,
    window,
    norm,
    rope,
    layer: i,
  });
  const mlp = experts
    ? (makeMixture as MakeMixture)(weights.at("mlp"), c.hiddenSize, experts)
    : gatedMlp(weights.at("mlp"), { ...c, fused, bias: c.mlpBias });
  const named = (name: string | undefined) => (name ? [hiddenNorm(weights.at(name), c)] : []);
  const { beforeAttention, afterAttention, beforeMlp, afterMlp } = c.norms;
  const first = chain(`${weights.path}.attention_adapters`, "attention", [
    ...named(beforeAttention),
    attention,
    ...named(afterAttention),
  ]);
  const second = chain(`${weights.path}.output_adapters`, "mlp", [
    ...named(beforeMlp),
    mlp,
    ...named(afterMlp),
  ]);
  const isPlain = (branch: Branch, context: Context) =>
    c.residualScale === 1 && !context.adapters?.wraps.has(branch) && takesSum(branch.children[0], context);
  const [addFirst, addSecond] = [addingBranch(first.children), addingBranch(second.children)];
  return {
    path: weights.path,
    children: [first, second],
    takesStream: (context) => isPlain(first, context) && isPlain(second, context),
    forwardStream({ x, branch }, context) {
      if (addFirst && addSecond && !branch && addsInPlace(x, context)) {
        addFirst(x, context);
        addSecond(x, context);
        return { x };
      }
      const { sum, added } = branch
        ? onSum(first, x, branch, context)
        : { sum: x, added: call(first, x, context) };
      const after = onSum(second, sum, added, context);
      return { x: after.sum, branch: after.added };
    },
    forward(x, context) {
      const mixed = call(first, x, context);
      if (isPlain(second, context)) {
        const { sum, added } = onSum(second, x, mixed, context);
        return ops.add(context.tape, sum, added);
      }
      const h = ops.add(context.tape, x, mixed, c.residualScale);
      return ops.add(context.tape, h, call(second, h, context), c.residualScale);
    },
  };
}

/** What a branch that begins with a norm adds to x + before, and this sum, which the norm computes on its way. */
function onSum(
  { children }: Branch,
  x: Tensor,
  before: Tensor,
  context: Context,
): { sum: Tensor; added: Tensor } {
  const [norm, ...rest] = children;
  const { sum, y } = (norm as Norm).ofSum(x, before, context);
  return { sum, added: through(rest, y, context) };
}

/** Modules one after the other, as a branch of the residual stream. */
function chain(path: string, of: Branch["of"], children: readonly Module[]): Branch {
  return { kind: "branch", of, path, children, forward: (x, context) => through(children, x, context) };
}

function hiddenNorm(
  weights: Weights,
  { normKind, hiddenSize, normEps: eps, normOffset }: DecoderConfig,
): Module {
  return normKind === "layer"
    ? layerNorm(weights, hiddenSize, { eps })
    : rmsNorm(weights, hiddenSize, { eps, offset: normOffset });
}

/** Embedding, layers and last norm: what every head stands on. */
export interface DecoderBody {
  embedding: Embedding;
  root: Module;
  ropes: readonly RopeAngles[];
  /** ids `[B, T]` → states `[B, T, hidden]`, normalised. */
  encode(ids: Tensor, context: Context): Tensor;
  release(): void;
}

/**
 * Llama and everything that differs from it only by {@link DecoderConfig}, without a head.
 * @param body where its tensors are
 * @param makeMixture makes layers of experts, of a family that has some
 */
export function decoderBody(
  device: Device,
  body: Weights,
  c: DecoderConfig,
  makeMixture?: MakeMixture,
): DecoderBody {
  const words = embedding(body.at("embed_tokens"), c.vocabSize, c.hiddenSize);
  const ropes = rotations(device, c);
  const layers = c.layers.map(({ rope }, i) =>
    decoderLayer(body.at(`layers.${i}`), c, i, rope && ropes.get(rope), makeMixture),
  );
  const layerStack = stack(body.path, layers, [hiddenNorm(body.at("norm"), c)]);
  const root = { ...layerStack, children: [words, ...layerStack.children] };
  return {
    embedding: words,
    root,
    ropes: [...ropes.values()],
    encode: (ids, context) => call(root, embed(ids, words, c, context), context),
    release() {
      for (const rope of ropes.values()) rope.release();
    },
  };
}

/** A decoder that predicts the next token. */
export function buildDecoder(
  device: Device,
  weights: Weights,
  c: DecoderConfig,
  makeMixture?: MakeMixture,
): BuiltModel {
  const body = decoderBody(device, weights.at("model"), c, makeMixture);
  const { embedding: words, root, ropes, encode, release } = body;
  const head = outputLayer(weights.at("lm_head"), words, { tied: c.tied });
  const numLayers = c.layers.length;
  const headOptions = { logitScale: c.logitScale, logitSoftcap: c.logitSoftcap };
  return {
    task: "causal-lm",
    device,
    root: { ...root, children: [...root.children, head] },
    config: { ...c, numLayers },
    tied: c.tied,
    head,
    headOptions,
    hidden: encode,
    logits: (hidden, context) => headScores(head, hidden, context, headOptions),
    newCache: (capacity, batchSize) => new KvCache(device, { ...c, numLayers, capacity, batchSize }),
    keepsCache: (past, length) => ropes.every((rope) => rope.keeps(past, length)),
    rotatesAlike: (a, b) => ropes.every((rope) => rope.alike(a, b)),
    tables: (length) => ropes.map((rope) => rope.upTo(length)),
    release,
  };
}

/** Decoders whose layers are stacked anew, the layers at a path. */
export function replicableDecoder<C extends DecoderConfig>(layers: string): Replicable<C> {
  return {
    layers,
    config(own, ranges) {
      const problem = replicationProblem(ranges, own.layers.length);
      if (problem !== undefined) return problem;
      // transformers looks some of a layer's properties up by its new number, and some of them not at all.
      const [first] = own.layers;
      const isAlike = ({ window, rope, experts }: LayerConfig) =>
        window === first?.window && rope === first.rope && experts === first.experts;
      if (!own.layers.every(isAlike))
        return "the model's layers are of several kinds (windows, rotary embeddings, experts), which transformers takes by their new numbers: a copy would be of another kind";
      return { ...own, layers: replicatedOrder(ranges).map((i) => own.layers[i] as LayerConfig) };
    },
  };
}

function embed(
  ids: Tensor,
  table: Embedding,
  { embeddingScale: factor, scalesInputs }: DecoderConfig,
  context: Context,
): Tensor {
  const scaled = (x: Tensor) => (factor === 1 ? x : ops.scale(context.tape, x, factor));
  const words = call(table, ids, context);
  if (scalesInputs) return scaled(withVirtualTokens(withNoise(words, context), context));
  return withVirtualTokens(withNoise(scaled(words), context), context);
}

/** One set of angles for each different rotary embedding of the layers. */
function rotations(device: Device, { layers, maxPositions }: DecoderConfig): Map<RopeOptions, RopeAngles> {
  const options = new Set(layers.flatMap(({ rope }) => (rope ? [rope] : [])));
  return new Map([...options].map((rope) => [rope, new RopeAngles(device, rope, maxPositions)]));
}
