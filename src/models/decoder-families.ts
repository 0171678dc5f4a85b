import type { ConfigReader } from "./config-reader.ts";
import { buildDecoder, type DecoderConfig } from "./decoder.ts";
import { type Family, family } from "./family.ts";
import { readRope } from "./rope-config.ts";

/** Attention's usual target modules, PEFT's default for most families. */
const QV = ["q_proj", "v_proj"];

/** Decoder families by the architecture name in their configs. Only this file and its like know families' names. */
export const DECODER_FAMILIES: Readonly<Record<string, Family>> = {
  LlamaForCausalLM: decoder("llama", QV, llama),
};

function decoder(
  modelType: string,
  defaultTargets: readonly string[],
  read: (c: ConfigReader) => DecoderConfig,
): Family {
  return family({ modelType, defaultTargets, read, build: buildDecoder });
}

function llama(c: ConfigReader): DecoderConfig {
  const hiddenSize = c.number("hidden_size");
  const numHeads = c.number("num_attention_heads");
  const headDim = c.number("head_dim", hiddenSize / numHeads);
  const attentionBias = c.boolean("attention_bias", false);
  c.only("hidden_act", ["silu", "swish"]);
  const rope = readRope(c, headDim);
  return {
    vocabSize: c.number("vocab_size"),
    hiddenSize,
    intermediateSize: c.number("intermediate_size"),
    numHeads,
    numKvHeads: c.number("num_key_value_heads", numHeads),
    headDim,
    maxPositions: c.number("max_position_embeddings", 2048),
    normEps: c.number("rms_norm_eps", 1e-6),
    activation: "silu",
    layers: Array.from({ length: c.number("num_hidden_layers") }, () => ({ window: 0, rope })),
    normOffset: 0,
    norms: { beforeAttention: "input_layernorm", beforeMlp: "post_attention_layernorm" },
    qkvBias: attentionBias,
    outputBias: attentionBias,
    mlpBias: c.boolean("mlp_bias", false),
    queryScale: 1 / Math.sqrt(headDim),
    fusedProjections: false,
    qkNorm: "none",
    attentionSoftcap: 0,
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    logitSoftcap: 0,
    tied: c.boolean("tie_word_embeddings", false),
  };
}
