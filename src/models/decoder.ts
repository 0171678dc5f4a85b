import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activation.ts";
import { type RopeOptions, type RopeTensors, ropeTable, uploadRopeTable } from "../kernels/rope.ts";
import { selfAttention } from "../nn/attention.ts";
import { KvCache } from "../nn/cache.ts";
import { gatedMlp } from "../nn/mlp.ts";
import { type Context, call, type Module } from "../nn/module.ts";
import { rmsNorm } from "../nn/norm.ts";
import type { Weights } from "../nn/weights.ts";
import type { BuiltModel } from "./family.ts";

/** What makes one family of pre-norm decoders differ from another: sizes, and fields named for what they do. */
export interface DecoderConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  maxPositions: number;
  normEps: number;
  activation: Activation;
  qkvBias: boolean;
  outputBias: boolean;
  mlpBias: boolean;
  queryScale: number;
  rope: RopeOptions;
  /** The output layer shares the embedding's matrix. */
  tied: boolean;
}

function decoderLayer(weights: Weights, c: DecoderConfig, layer: number, rope: RopeTensors): Module {
  const inputNorm = rmsNorm(weights.at("input_layernorm"), c.hiddenSize, { eps: c.normEps });
  const attention = selfAttention(weights.at("self_attn"), { ...c, rope, layer });
  const mlpNorm = rmsNorm(weights.at("post_attention_layernorm"), c.hiddenSize, { eps: c.normEps });
  const mlp = gatedMlp(weights.at("mlp"), { ...c, bias: c.mlpBias });
  return {
    path: weights.path,
    children: [inputNorm, attention, mlpNorm, mlp],
    forward(x, context) {
      const mixed = call(attention, call(inputNorm, x, context), context);
      const h = ops.add(context.tape, x, mixed);
      return ops.add(context.tape, h, call(mlp, call(mlpNorm, h, context), context));
    },
  };
}

/** Runs one layer so that its intermediate tensors die with it, unless a tape keeps them. */
function runLayer(layer: Module, x: Tensor, context: Context): Tensor {
  if (context.tape && context.checkpoint) {
    return context.tape.checkpoint(x, (tape, x) => call(layer, x, { ...context, tape }));
  }
  return scoped(x.device, () => call(layer, x, context));
}

/** Llama and everything that differs from it only by {@link DecoderConfig}. */
export function buildDecoder(device: Device, weights: Weights, c: DecoderConfig): BuiltModel {
  const body = weights.at("model");
  const embedding = body.at("embed_tokens").tensor("weight", [c.vocabSize, c.hiddenSize], { init: "normal" });
  const angles = ropeTable({ ...c.rope, length: c.maxPositions });
  const rope = device.memory.persistent(() => uploadRopeTable(device, angles));
  const layers = Array.from({ length: c.numLayers }, (_, i) =>
    decoderLayer(body.at(`layers.${i}`), c, i, rope),
  );
  const norm = rmsNorm(body.at("norm"), c.hiddenSize, { eps: c.normEps });
  const head = c.tied
    ? embedding
    : weights.at("lm_head").tensor("weight", [c.vocabSize, c.hiddenSize], { init: "normal" });
  const root: Module = {
    path: weights.path,
    children: [...layers, norm],
    forward(x, context) {
      for (const layer of layers) x = runLayer(layer, x, context);
      return call(norm, x, context);
    },
  };
  return {
    device,
    root,
    config: c,
    tied: c.tied,
    head,
    hidden: (ids, context) => call(root, ops.embedding(context.tape, embedding, ids), context),
    logits: (hidden, tape) => ops.linear(tape, hidden, head),
    newCache: (capacity) => new KvCache(device, { ...c, capacity }),
    release() {
      for (const { storage } of [rope.cos, rope.sin]) device.memory.release(storage);
    },
  };
}
