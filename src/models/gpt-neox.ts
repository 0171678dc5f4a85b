import * as encoderOps from "../autograd/encoder-ops.ts";
import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import type { Activation } from "../kernels/activations.ts";
import type { RopeOptions } from "../kernels/rope-frequencies.ts";
import { attend, rotate } from "../nn/attention.ts";
import { KvCache } from "../nn/cache.ts";
import { embedding, withNoise } from "../nn/embedding.ts";
import { headScores } from "../nn/head.ts";
import { linear, outputLayer } from "../nn/linear.ts";
import { type Context, call, type Module } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { RopeAngles } from "../nn/rope-angles.ts";
import { stack } from "../nn/stack.ts";
import { withVirtualTokens } from "../nn/virtual-tokens.ts";
import type { Weights } from "../nn/weights.ts";
import type { Built } from "./family.ts";

/** Sizes and options; Black et al. 2022, arXiv 2204.06745. */
export interface GptNeoxConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  maxPositions: number;
  normEps: number;
  activation: Activation;
  attentionBias: boolean;
  /** Attention and MLP both read the layer's input, instead of one after the other. */
  parallelResidual: boolean;
  rope: RopeOptions;
  /** The output layer shares the embedding's matrix. */
  tied: boolean;
}

/** Self-attention whose one projection gives query, key and value of head 0, then those of head 1, and so on. */
function attention(weights: Weights, c: GptNeoxConfig, layer: number, rope: RopeAngles): Module {
  const { hiddenSize: d, numHeads, attentionBias: bias } = c;
  const width = d / numHeads;
  const qkv = linear(weights.at("query_key_value"), d, 3 * d, { bias });
  const out = linear(weights.at("dense"), d, d, { bias });
  return {
    path: weights.path,
    children: [qkv, out],
    forward(x, context) {
      const { tape } = context;
      const [batch = 0, length = 0] = x.shape;
      const heads = call(qkv, x, context).reshape([batch, length, numHeads, 3 * width]);
      const part = (i: number) => ops.sliceColumns(tape, heads, i * width, (i + 1) * width);
      const options = { queryScale: 1 / Math.sqrt(width), layer };
      const mixed = attend(options, ...rotate(rope, part(0), part(1), context), part(2), context);
      return call(out, mixed.reshape(x.shape), context);
    },
  };
}

function block(weights: Weights, c: GptNeoxConfig, layer: number, rope: RopeAngles): Module {
  const { hiddenSize, intermediateSize, normEps: eps } = c;
  const norm1 = layerNorm(weights.at("input_layernorm"), hiddenSize, { eps });
  const norm2 = layerNorm(weights.at("post_attention_layernorm"), hiddenSize, { eps });
  const mixer = attention(weights.at("attention"), c, layer, rope);
  const up = linear(weights.at("mlp.dense_h_to_4h"), hiddenSize, intermediateSize, { bias: true });
  const down = linear(weights.at("mlp.dense_4h_to_h"), intermediateSize, hiddenSize, { bias: true });
  return {
    path: weights.path,
    children: [norm1, norm2, mixer, up, down],
    forward(x, context) {
      const { tape } = context;
      const h = ops.add(tape, x, call(mixer, call(norm1, x, context), context));
      const normed = call(norm2, c.parallelResidual ? x : h, context);
      const inner = encoderOps.activate(tape, call(up, normed, context), c.activation);
      return ops.add(tape, h, call(down, inner, context));
    },
  };
}

/** GPT-NeoX, the architecture of Pythia, with its language-modelling head. */
export function buildGptNeox(device: Device, weights: Weights, c: GptNeoxConfig): Built<"causal-lm"> {
  const { hiddenSize, vocabSize, numLayers, numHeads } = c;
  const body = weights.at("gpt_neox");
  const words = embedding(body.at("embed_in"), vocabSize, hiddenSize);
  const rope = new RopeAngles(device, c.rope, c.maxPositions);
  const layers = Array.from({ length: numLayers }, (_, i) => block(body.at(`layers.${i}`), c, i, rope));
  const norm = layerNorm(body.at("final_layer_norm"), hiddenSize, { eps: c.normEps });
  const head = outputLayer(weights.at("embed_out"), words, { tied: c.tied });
  const root = stack(weights.path, layers, [norm]);
  const cacheSizes = { numLayers, numKvHeads: numHeads, headDim: hiddenSize / numHeads };
  return {
    task: "causal-lm",
    device,
    root: { ...root, children: [words, ...root.children, head] },
    config: c,
    tied: c.tied,
    head,
    hidden(ids, context: Context) {
      return call(root, withVirtualTokens(withNoise(call(words, ids, context), context), context), context);
    },
    logits: (hidden, context) => headScores(head, hidden, context),
    newCache: (capacity, batchSize) => new KvCache(device, { ...cacheSizes, capacity, batchSize }),
    keepsCache: (past, length) => rope.keeps(past, length),
    rotatesAlike: (a, b) => rope.alike(a, b),
    tables: (length) => [rope.upTo(length)],
    release: () => rope.release(),
  };
}
