import * as encoderOps from "../autograd/encoder-ops.ts";
import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import { attend } from "../nn/attention.ts";
import type { Branch } from "../nn/branch.ts";
import { KvCache } from "../nn/cache.ts";
import { embedding, withNoise } from "../nn/embedding.ts";
import { headScores } from "../nn/head.ts";
import { linear, outputLayer } from "../nn/linear.ts";
import { type Context, call, type Module } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { positionEmbedding } from "../nn/positions.ts";
import { stack } from "../nn/stack.ts";
import { withVirtualTokens } from "../nn/virtual-tokens.ts";
import type { Weights } from "../nn/weights.ts";
import type { Built } from "./family.ts";

/** Sizes and options; Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". */
export interface Gpt2Config {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  maxPositions: number;
  normEps: number;
  activation: Activation;
  /** Factor of the scores in a layer. */
  queryScale(layer: number): number;
  /** The output layer shares the embedding's matrix. */
  tied: boolean;
}

/** The checkpoint stores matrices as `[in, out]`. */
const CONV_1D = { bias: true, fanInFanOut: true };

/** x + attention(norm x), then x + MLP(norm x); queries, keys and values come from one matrix. */
function block(weights: Weights, c: Gpt2Config, layer: number): Module {
  const { hiddenSize: d, numHeads, intermediateSize } = c;
  const norm1 = layerNorm(weights.at("ln_1"), d, { eps: c.normEps });
  const qkv = linear(weights.at("attn.c_attn"), d, 3 * d, CONV_1D);
  const out = linear(weights.at("attn.c_proj"), d, d, CONV_1D);
  const norm2 = layerNorm(weights.at("ln_2"), d, { eps: c.normEps });
  const up = linear(weights.at("mlp.c_fc"), d, intermediateSize, CONV_1D);
  const down = linear(weights.at("mlp.c_proj"), intermediateSize, d, CONV_1D);
  const options = { queryScale: c.queryScale(layer), layer };
  const attention: Branch = {
    kind: "branch",
    of: "attention",
    path: `${weights.path}.attention_adapters`,
    children: [norm1, qkv, out],
    forward(x, context) {
      const [batch = 0, length = 0] = x.shape;
      const all = call(qkv, call(norm1, x, context), context);
      const part = (i: number) =>
        ops
          .sliceColumns(context.tape, all, i * d, (i + 1) * d)
          .reshape([batch, length, numHeads, d / numHeads]);
      const mixed = attend(options, part(0), part(1), part(2), context).reshape(x.shape);
      return call(out, mixed, context);
    },
  };
  const mlp: Branch = {
    kind: "branch",
    of: "mlp",
    path: `${weights.path}.output_adapters`,
    children: [norm2, up, down],
    forward(x, context) {
      const inner = call(up, call(norm2, x, context), context);
      return call(down, encoderOps.activate(context.tape, inner, c.activation), context);
    },
  };
  return {
    path: weights.path,
    children: [attention, mlp],
    forward(x, context) {
      const h = ops.add(context.tape, x, call(attention, x, context));
      return ops.add(context.tape, h, call(mlp, h, context));
    },
  };
}

/** GPT-2 with its language-modelling head. */
export function buildGpt2(device: Device, weights: Weights, c: Gpt2Config): Built<"causal-lm"> {
  const { hiddenSize, vocabSize, numLayers, numHeads } = c;
  const body = weights.at("transformer");
  const words = embedding(body.at("wte"), vocabSize, hiddenSize);
  const places = embedding(body.at("wpe"), c.maxPositions, hiddenSize, { dense: true });
  const layers = Array.from({ length: numLayers }, (_, i) => block(body.at(`h.${i}`), c, i));
  const norm = layerNorm(body.at("ln_f"), hiddenSize, { eps: c.normEps });
  const head = outputLayer(weights.at("lm_head"), words, { tied: c.tied });
  const root = stack(weights.path, layers, [norm]);
  const embed = (ids: Tensor, context: Context) => {
    const x = withVirtualTokens(withNoise(call(words, ids, context), context), context);
    return ops.add(context.tape, x, positionEmbedding(places, context));
  };
  const cacheSizes = { numLayers, numKvHeads: numHeads, headDim: hiddenSize / numHeads };
  return {
    task: "causal-lm",
    device,
    root: { ...root, children: [words, places, ...root.children, head] },
    config: c,
    tied: c.tied,
    head,
    hidden: (ids, context) => call(root, embed(ids, context), context),
    logits: (hidden, context) => headScores(head, hidden, context),
    newCache: (capacity, batchSize) => new KvCache(device, { ...cacheSizes, capacity, batchSize }),
    tables: () => [],
    release() {},
  };
}
