import * as encoderOps from "../autograd/encoder-ops.ts";
import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import { attend, callHeads } from "../nn/attention.ts";
import { KvCache } from "../nn/cache.ts";
import { embedding, withNoise } from "../nn/embedding.ts";
import { headScores } from "../nn/head.ts";
import { linear, outputLayer } from "../nn/linear.ts";
import { type Context, call, type Module, type Siblings } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { positionEmbedding } from "../nn/positions.ts";
import { stack } from "../nn/stack.ts";
import { withVirtualTokens } from "../nn/virtual-tokens.ts";
import type { Weights } from "../nn/weights.ts";
import type { Built } from "./family.ts";

/** Rows of the position table before that of position 0. */
const POSITION_OFFSET = 2;

/** Sizes and options; Zhang et al. 2022, arXiv 2205.01068. */
export interface OptConfig {
  vocabSize: number;
  hiddenSize: number;
  /** Width of embedding and output layer; where it is not the hidden size, two matrices lie in between. */
  wordSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  maxPositions: number;
  activation: Activation;
  bias: boolean;
  /** Norms come before attention and MLP (pre-norm), not after the residual additions. */
  normsFirst: boolean;
  /** A norm follows the last layer. */
  finalNorm: boolean;
  /** The output layer shares the embedding's matrix. */
  tied: boolean;
}

const NORM = { eps: 1e-5 };

function attention(weights: Weights, c: OptConfig, layer: number): Module {
  const { hiddenSize: d, numHeads, bias } = c;
  const projection = (name: string) => linear(weights.at(name), d, d, { bias });
  const qkv: Siblings = { members: ["q_proj", "k_proj", "v_proj"].map(projection) };
  const out = projection("out_proj");
  const options = { queryScale: 1 / Math.sqrt(d / numHeads), layer };
  return {
    path: weights.path,
    children: [...qkv.members, out],
    siblings: qkv,
    forward: (x, context) =>
      call(out, attend(options, ...callHeads(qkv, x, numHeads, context), context).reshape(x.shape), context),
  };
}

function mlp(weights: Weights, { hiddenSize, intermediateSize, activation, bias }: OptConfig): Module {
  const up = linear(weights.at("fc1"), hiddenSize, intermediateSize, { bias });
  const down = linear(weights.at("fc2"), intermediateSize, hiddenSize, { bias });
  return {
    path: weights.path,
    children: [up, down],
    forward: (x, context) =>
      call(down, encoderOps.activate(context.tape, call(up, x, context), activation), context),
  };
}

function block(weights: Weights, c: OptConfig, layer: number): Module {
  const branches = [
    {
      norm: layerNorm(weights.at("self_attn_layer_norm"), c.hiddenSize, NORM),
      run: attention(weights.at("self_attn"), c, layer),
    },
    { norm: layerNorm(weights.at("final_layer_norm"), c.hiddenSize, NORM), run: mlp(weights, c) },
  ];
  return {
    path: weights.path,
    children: branches.flatMap(({ norm, run }) => [norm, run]),
    forward(x, context) {
      for (const { norm, run } of branches) {
        const y = call(run, c.normsFirst ? call(norm, x, context) : x, context);
        const sum = ops.add(context.tape, x, y);
        x = c.normsFirst ? sum : call(norm, sum, context);
      }
      return x;
    },
  };
}

/** OPT with its language-modelling head. */
export function buildOpt(device: Device, weights: Weights, c: OptConfig): Built<"causal-lm"> {
  const { hiddenSize, wordSize, vocabSize, numLayers, numHeads } = c;
  const body = weights.at("model.decoder");
  const words = embedding(body.at("embed_tokens"), vocabSize, wordSize);
  const places = embedding(body.at("embed_positions"), c.maxPositions + POSITION_OFFSET, hiddenSize, {
    dense: true,
  });
  const projected = wordSize !== hiddenSize;
  const projectIn = projected ? [linear(body.at("project_in"), wordSize, hiddenSize)] : [];
  const projectOut = projected ? [linear(body.at("project_out"), hiddenSize, wordSize)] : [];
  const layers = Array.from({ length: numLayers }, (_, i) => block(body.at(`layers.${i}`), c, i));
  const norm = c.finalNorm ? [layerNorm(body.at("final_layer_norm"), hiddenSize, NORM)] : [];
  const head = outputLayer(weights.at("lm_head"), words, { tied: c.tied });
  const layerStack = stack(body.path, layers, [...norm, ...projectOut]);
  const root: Module = {
    path: weights.path,
    children: [words, places, ...projectIn, layerStack, head],
    forward: (x, context) => call(layerStack, x, context),
  };
  const embed = (ids: Tensor, context: Context) => {
    const x = withVirtualTokens(withNoise(call(words, ids, context), context), context);
    const y = projectIn.reduce((y, module) => call(module, y, context), x);
    return ops.add(context.tape, y, positionEmbedding(places, context, POSITION_OFFSET));
  };
  const cacheSizes = { numLayers, numKvHeads: numHeads, headDim: hiddenSize / numHeads };
  return {
    task: "causal-lm",
    device,
    root,
    config: { ...c, hiddenSize: wordSize },
    tied: c.tied,
    head,
    hidden: (ids, context) => call(root, embed(ids, context), context),
    logits: (hidden, context) => headScores(head, hidden, context),
    newCache: (capacity, batchSize) => new KvCache(device, { ...cacheSizes, capacity, batchSize }),
    release() {},
  };
}
