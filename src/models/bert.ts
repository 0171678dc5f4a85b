import * as encoderOps from "../autograd/encoder-ops.ts";
import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import { attend, callHeads } from "../nn/attention.ts";
import type { Branch } from "../nn/branch.ts";
import { firstTokens } from "../nn/chosen-tokens.ts";
import { type Embedding, embedding, withNoise } from "../nn/embedding.ts";
import { headScores } from "../nn/head.ts";
import { linear, outputLayer } from "../nn/linear.ts";
import { type Context, call, type Module, type Siblings } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { positionEmbedding } from "../nn/positions.ts";
import { stack } from "../nn/stack.ts";
import type { Weights } from "../nn/weights.ts";
import type { Built, BuiltModel } from "./family.ts";
import { pooledBy } from "./sentence-encoder.ts";

/** Sizes, names and options of encoders with norms after the residual additions (post-norm); Devlin et al. 2018, arXiv 1810.04805. */
export interface BertConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  /** Tokens that a text may have. */
  maxPositions: number;
  /** Row of the position table for the first token. */
  firstPosition: number;
  /** Kinds of segments; 0: there is no table of them. */
  tokenTypes: number;
  normEps: number;
  activation: Activation;
  names: BertNames;
  head: BertHead;
  /** The output layer, where there is one, shares the words' vectors. */
  tied: boolean;
  /** Names of the classes, where the head is a classifier. */
  labels: readonly string[];
}

/** Where a family's checkpoints hold what. */
export interface BertNames {
  /** Path of the encoder; empty where the model is nothing else. */
  body: string;
  /** Path of layer 0 without its number. */
  layers: string;
  query: string;
  key: string;
  value: string;
  attentionOutput: string;
  attentionNorm: string;
  up: string;
  down: string;
  outputNorm: string;
  /** The two branches of a layer. */
  attentionBranch: string;
  mlpBranch: string;
  /** The dense layer over the first token that only some heads use, where the family has one. */
  pooler?: string;
}

/** What stands on top of the encoder, with the paths of its parts. */
export type BertHead =
  | { task: "sequence-classification"; path: string; hidden: string; activation: Activation; output: string }
  | { task: "token-classification"; output: string }
  | { task: "masked-lm"; dense: string; activation: Activation; norm: string; decoder: string; bias: string }
  | { task: "sentence-embedding" };

/** norm(x + attention(x)), then norm(x + MLP(x)); every token sees every other. */
function block(weights: Weights, c: BertConfig): Module {
  const { hiddenSize: d, numHeads, names } = c;
  const at = (name: string, inputs = d, outputs = d) =>
    linear(weights.at(name), inputs, outputs, { bias: true });
  const qkv: Siblings = { members: [names.query, names.key, names.value].map((name) => at(name)) };
  const out = at(names.attentionOutput);
  const norm1 = layerNorm(weights.at(names.attentionNorm), d, { eps: c.normEps });
  const up = at(names.up, d, c.intermediateSize);
  const down = at(names.down, c.intermediateSize, d);
  const norm2 = layerNorm(weights.at(names.outputNorm), d, { eps: c.normEps });
  const options = { queryScale: Math.sqrt(numHeads / d), causal: false, layer: 0 };
  const attention: Branch = {
    kind: "branch",
    of: "attention",
    path: `${weights.path}.${names.attentionBranch}`,
    norm: norm1,
    children: [...qkv.members, out],
    siblings: qkv,
    forward(x, context) {
      const mixed = attend(options, ...callHeads(qkv, x, numHeads, context), context).reshape(x.shape);
      return call(out, mixed, context);
    },
  };
  const mlp: Branch = {
    kind: "branch",
    of: "mlp",
    path: `${weights.path}.${names.mlpBranch}`,
    norm: norm2,
    children: [up, down],
    forward: (x, context) =>
      call(down, encoderOps.activate(context.tape, call(up, x, context), c.activation), context),
  };
  return {
    path: weights.path,
    children: [attention, norm1, mlp, norm2],
    forward(x, context) {
      const { tape } = context;
      const h = call(norm1, ops.add(tape, x, call(attention, x, context)), context);
      return call(norm2, ops.add(tape, h, call(mlp, h, context)), context);
    },
  };
}

/** The encoder: embeddings and layers. */
interface Encoder {
  /** The words' vectors `[V, hidden]`. */
  words: Embedding;
  layers: Module;
  /** ids `[B, T]` → states `[B, T, hidden]`. */
  encode(ids: Tensor, context: Context): Tensor;
}

function encoder(weights: Weights, c: BertConfig): Encoder {
  const body = c.names.body === "" ? weights : weights.at(c.names.body);
  const tables = body.at("embeddings");
  const words = embedding(tables.at("word_embeddings"), c.vocabSize, c.hiddenSize);
  const rows = c.firstPosition + c.maxPositions;
  const places = embedding(tables.at("position_embeddings"), rows, c.hiddenSize, { dense: true });
  const types =
    c.tokenTypes > 0
      ? embedding(tables.at("token_type_embeddings"), c.tokenTypes, c.hiddenSize, { dense: true })
      : undefined;
  const norm = layerNorm(tables.at("LayerNorm"), c.hiddenSize, { eps: c.normEps });
  const blocks = Array.from({ length: c.numLayers }, (_, i) => block(body.at(`${c.names.layers}.${i}`), c));
  const layerStack = stack(body.path, [norm, ...blocks]);
  const tablesOf = [words, places, ...(types ? [types] : [])];
  const layers = { ...layerStack, children: [...tablesOf, ...layerStack.children] };
  return {
    words,
    layers,
    encode(ids, context) {
      const { tape } = context;
      const x = withNoise(call(words, ids, context), context);
      const y = ops.add(tape, x, positionEmbedding(places, context, c.firstPosition));
      if (!types) return call(layers, y, context);
      return call(layers, ops.add(tape, y, typeEmbedding(types, ids, context)), context);
    },
  };
}

/** The vector of each token's segment; the first segment's where there is no other or none is given. */
function typeEmbedding(types: Embedding, ids: Tensor, context: Context): Tensor {
  const first = () => fromArray(ids.device, new Uint32Array(ids.size), ids.shape);
  const isOnlyOne = types.tensors.weight.rows === 1;
  return call(types, isOnlyOne ? first() : (context.tokenTypes ?? first()), context);
}

function modelOf(weights: Weights, layers: Module, head: readonly Module[]): Module {
  return {
    path: weights.path,
    children: [layers, ...head],
    forward: (x, context) => call(layers, x, context),
  };
}

/** BERT, RoBERTa, DistilBERT and their like, with the head that the config asks for. */
export function buildBert(device: Device, weights: Weights, c: BertConfig): BuiltModel {
  const body = encoder(weights, c);
  const shared = { device, config: c, release() {} };
  const { head } = c;
  switch (head.task) {
    case "sequence-classification":
      return { ...shared, ...sequenceHead(weights, c, body, head) };
    case "token-classification":
      return { ...shared, ...tokenHead(weights, c, body, head) };
    case "masked-lm":
      return { ...shared, ...maskedHead(weights, c, body, head) };
    case "sentence-embedding":
      return { ...shared, ...embeddingHead(weights, c, body) };
  }
}

/** What a head's builder adds to what all share. */
type Head<T extends BertHead["task"]> = Omit<Built<T>, "device" | "config" | "release">;
type HeadOf<T extends BertHead["task"]> = Extract<BertHead, { task: T }>;

/** output(act(hidden x)) of the first token. */
function sequenceHead(
  weights: Weights,
  { hiddenSize: d, labels }: BertConfig,
  { layers, encode }: Encoder,
  { task, path, hidden, activation, output }: HeadOf<"sequence-classification">,
): Head<"sequence-classification"> {
  const dense = linear(weights.at(hidden), d, d, { bias: true, fresh: true });
  const out = linear(weights.at(output), d, labels.length, { bias: true, fresh: true });
  const classifier: Module = {
    path,
    children: [dense, out],
    forward: (x, context) =>
      call(out, encoderOps.activate(context.tape, call(dense, x, context), activation), context),
  };
  return {
    task,
    root: modelOf(weights, layers, [classifier]),
    labels,
    logits: (ids, context) => call(classifier, firstTokens(encode(ids, context), context), context),
  };
}

function tokenHead(
  weights: Weights,
  { hiddenSize, labels }: BertConfig,
  { layers, encode }: Encoder,
  { task, output }: HeadOf<"token-classification">,
): Head<"token-classification"> {
  const out = linear(weights.at(output), hiddenSize, labels.length, { bias: true, fresh: true });
  return {
    task,
    root: modelOf(weights, layers, [out]),
    labels,
    logits: (ids, context) => call(out, encode(ids, context), context),
  };
}

/** norm(act(dense x)) times the words' vectors, or a matrix of its own, plus a bias. */
function maskedHead(
  weights: Weights,
  { hiddenSize: d, normEps: eps, vocabSize, tied }: BertConfig,
  { words, layers, encode }: Encoder,
  names: HeadOf<"masked-lm">,
): Head<"masked-lm"> {
  const dense = linear(weights.at(names.dense), d, d, { bias: true });
  const norm = layerNorm(weights.at(names.norm), d, { eps });
  const decoder = weights.at(names.decoder);
  const biasOptions = { storage: "f32", init: "zeros" } as const;
  const bias = tied
    ? weights.tensor(names.bias, [vocabSize], biasOptions)
    : decoder.tensor("bias", [vocabSize], biasOptions);
  const head = outputLayer(decoder, words, { tied, bias });
  return {
    task: names.task,
    root: modelOf(weights, layers, [dense, norm, head]),
    tied,
    head,
    hidden(ids, context) {
      const inner = call(dense, encode(ids, context), context);
      return call(norm, encoderOps.activate(context.tape, inner, names.activation), context);
    },
    logits: (hidden, context) => headScores(head, hidden, context),
  };
}

/** The tokens' states as one vector, scaled to length 1. */
function embeddingHead(
  weights: Weights,
  { names: { pooler } }: BertConfig,
  { layers, encode }: Encoder,
): Head<"sentence-embedding"> {
  return {
    task: "sentence-embedding",
    absentModules: pooler === undefined ? [] : [pooler],
    root: modelOf(weights, layers, []),
    ...pooledBy("mean", encode),
  };
}
