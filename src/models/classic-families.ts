import type { Device } from "../gpu/device.ts";
import type { RopeOptions } from "../kernels/rope-frequencies.ts";
import type { Renames, Weights } from "../nn/weights.ts";
import { readActivation } from "./activation-names.ts";
import type { ConfigReader } from "./config-reader.ts";
import { classifierOn } from "./decoder-classifier.ts";
import { type Built, type Family, family } from "./family.ts";
import { buildGptNeox, type GptNeoxConfig } from "./gpt-neox.ts";
import { buildGpt2, type Gpt2Config } from "./gpt2.ts";
import { readLabels } from "./labels.ts";
import { buildOpt, type OptConfig } from "./opt.ts";
import { readRope, stretchedPositions } from "./rope-config.ts";

/** What a family's models have in common, whatever their head. */
interface ClassicFamily<C> {
  modelType: string;
  defaultTargets: readonly string[];
  prefix: string;
  /** Path of the embedding, which the output layer may share. */
  words: string;
  /** Path of the output layer; `lm_head` unless given. */
  head?: string;
  renames?: Renames;
  read: (c: ConfigReader) => C;
  build: (device: Device, weights: Weights, c: C) => Built<"causal-lm">;
}

/** Decoders from before RMSNorm and gated MLPs, by the architecture name in their configs. */
export const CLASSIC_FAMILIES: Readonly<Record<string, Family>> = {
  ...withHeads("GPT2LMHeadModel", "GPT2ForSequenceClassification", {
    modelType: "gpt2",
    defaultTargets: ["c_attn"],
    prefix: "transformer",
    words: "transformer.wte",
    renames: [[/^(?=(?:wte|wpe|ln_f|h)\.)/, "transformer."]], // the hub's own checkpoint lacks the prefix
    read: readGpt2,
    build: buildGpt2,
  }),
  ...withHeads("GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification", {
    modelType: "gpt_neox",
    defaultTargets: ["query_key_value"],
    prefix: "gpt_neox",
    words: "gpt_neox.embed_in",
    head: "embed_out",
    read: readGptNeox,
    build: buildGptNeox,
  }),
  ...withHeads("OPTForCausalLM", "OPTForSequenceClassification", {
    modelType: "opt",
    defaultTargets: ["q_proj", "v_proj"],
    prefix: "model",
    words: "model.decoder.embed_tokens",
    renames: [[/^decoder\./, "model.decoder."]],
    read: readOpt,
    build: buildOpt,
  }),
};

/** The entries of a family: it predicts the next token, or classifies a text by its last one. */
function withHeads<C extends { tied: boolean }>(
  causal: string,
  classifier: string,
  { read, build, words, head = "lm_head", ...common }: ClassicFamily<C>,
): Record<string, Family> {
  return {
    [causal]: family({
      ...common,
      ties: [[`${head}.weight`, `${words}.weight`]],
      leftovers: /^score\./,
      read,
      build,
    }),
    [classifier]: family({
      ...common,
      task: "sequence-classification",
      leftovers: new RegExp(`^${head}\\.`),
      read: (c) => ({ ...read(c), labels: readLabels(c, 1) }),
      build: classifierOn(build),
    }),
  };
}

function readGpt2(c: ConfigReader): Gpt2Config {
  const hiddenSize = c.size("n_embd");
  const numHeads = c.heads("n_head", hiddenSize);
  const scaled = c.boolean("scale_attn_weights", true) ? Math.sqrt(hiddenSize / numHeads) : 1;
  const byLayer = c.boolean("scale_attn_by_inverse_layer_idx", false);
  // The rest belongs to other heads or older code, or sets the order of operations in half precision.
  c.ignore("n_ctx", "n_special", "predict_special_tokens", "reorder_and_upcast_attn");
  c.ignore("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels");
  c.ignore("is_decoder");
  c.only("add_cross_attention", [false]);
  return {
    vocabSize: c.size("vocab_size"),
    hiddenSize,
    intermediateSize: c.optional("n_inner", "size") ?? 4 * hiddenSize,
    numLayers: c.layers("n_layer"),
    numHeads,
    maxPositions: c.size("n_positions", 1024),
    normEps: c.nonNegative("layer_norm_epsilon", 1e-5),
    activation: readActivation(c, "activation_function", "gelu_new"),
    queryScale: (layer) => 1 / (scaled * (byLayer ? layer + 1 : 1)),
    tied: c.boolean("tie_word_embeddings", true),
  };
}

function readGptNeox(c: ConfigReader): GptNeoxConfig {
  const hiddenSize = c.size("hidden_size");
  const numHeads = c.heads("num_attention_heads", hiddenSize);
  const rope = readNeoxRope(c, hiddenSize / numHeads);
  c.ignore("is_decoder");
  return {
    vocabSize: c.size("vocab_size"),
    hiddenSize,
    intermediateSize: c.size("intermediate_size"),
    numLayers: c.layers("num_hidden_layers"),
    numHeads,
    maxPositions: stretchedPositions(c.size("max_position_embeddings", 2048), rope),
    normEps: c.nonNegative("layer_norm_eps", 1e-5),
    activation: readActivation(c, "hidden_act", "gelu"),
    attentionBias: c.boolean("attention_bias", true),
    parallelResidual: c.boolean("use_parallel_residual", true),
    rope,
    tied: c.boolean("tie_word_embeddings", false),
  };
}

/** The class reads names of its own; the usual ones, which other tools write beside them, must say the same. */
function readNeoxRope(c: ConfigReader, headDim: number): RopeOptions {
  const names = { theta: "rotary_emb_base", partial: "rotary_pct" };
  const rope = readRope(c, headDim, { theta: 10_000, partial: 0.25, names });
  const { rotaryDim = headDim } = rope;
  if (c.positive("rope_theta", rope.theta) !== rope.theta) c.differ("rope_theta", names.theta, rope.theta);
  const partial = c.number("partial_rotary_factor", rotaryDim / headDim);
  if (Math.floor(headDim * partial) !== rotaryDim) {
    c.differ("partial_rotary_factor", names.partial, rotaryDim / headDim);
  }
  return rope;
}

function readOpt(c: ConfigReader): OptConfig {
  const hiddenSize = c.size("hidden_size");
  const normsFirst = c.boolean("do_layer_norm_before", true);
  const withoutLast = c.boolean("_remove_final_layer_norm", false);
  c.only("layer_norm_elementwise_affine", [true]);
  c.ignore("layerdrop", "init_std");
  return {
    vocabSize: c.size("vocab_size"),
    hiddenSize,
    wordSize: c.optional("word_embed_proj_dim", "size") ?? hiddenSize,
    intermediateSize: c.size("ffn_dim"),
    numLayers: c.layers("num_hidden_layers"),
    numHeads: c.heads("num_attention_heads", hiddenSize),
    maxPositions: c.size("max_position_embeddings", 2048),
    activation: readActivation(c, "activation_function", "relu"),
    bias: c.boolean("enable_bias", true),
    normsFirst,
    finalNorm: normsFirst && !withoutLast,
    tied: c.boolean("tie_word_embeddings", true),
  };
}
