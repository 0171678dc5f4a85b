import { ropeFrequencies } from "../../../kernels/rope-frequencies.ts";
import type { Problems } from "../../../util/fail.ts";
import type { JsonObject } from "../../../util/json.ts";
import type { GgufTensor } from "./header.ts";
import type { MetadataReader } from "./metadata-reader.ts";

/** What of a model in a GGUF file its configuration is made of. */
export interface ConfigSource {
  readonly metadata: MetadataReader;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Values of the small tensors `rope_*`, by name. */
  readonly factors: ReadonlyMap<string, Float32Array>;
  readonly problems: Problems;
}

/** An architecture of llama.cpp as transformers' class of it is configured. */
interface Reading {
  readonly className: string;
  readonly modelType: string;
  /** Fields beside those that all have. */
  readonly fields?: (source: Sizes & ConfigSource, key: (name: string) => string) => JsonObject;
}

interface Sizes {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly theta: number;
}

/** By `general.architecture`. A Mistral is a Llama to llama.cpp, and computes the same but for windows, which it has not. */
const READINGS: Readonly<Record<string, Reading>> = {
  llama: { className: "Llama", modelType: "llama", fields: llama },
  qwen2: { className: "Qwen2", modelType: "qwen2", fields: () => ({ use_sliding_window: false }) },
  qwen3: { className: "Qwen3", modelType: "qwen3", fields: () => ({ use_sliding_window: false }) },
  gemma: { className: "Gemma", modelType: "gemma", fields: () => ({ hidden_act: "gelu_pytorch_tanh" }) },
  gemma2: { className: "Gemma2", modelType: "gemma2", fields: gemma2 },
  gemma3: { className: "Gemma3", modelType: "gemma3_text", fields: gemma3 },
  phi3: { className: "Phi3", modelType: "phi3", fields: phi3 },
};

/** The architectures that are read. */
export const GGUF_ARCHITECTURES = Object.keys(READINGS);

/** transformers' `model_type` of an architecture; undefined for one that is not read. */
export function modelTypeOf(architecture: string): string | undefined {
  return Object.hasOwn(READINGS, architecture) ? READINGS[architecture]?.modelType : undefined;
}

/**
 * The `config.json` of a model, by the keys that llama.cpp reads (`llama-model.cpp`, `gguf-py/gguf/constants.py`). Keys that
 * are not known are problems: they may change what is computed.
 * @param architecture one of {@link GGUF_ARCHITECTURES}
 */
export function configOfGguf(architecture: string, source: ConfigSource): JsonObject {
  const { metadata, tensors } = source;
  const { className, modelType, fields } = READINGS[architecture] as Reading;
  const key = (name: string) => `${architecture}.${name}`;
  const heads = metadata.number(key("attention.head_count"));
  const hiddenSize = metadata.number(key("embedding_length"));
  const headDim = metadata.number(key("attention.key_length"), hiddenSize / heads);
  const sizes = {
    ...{ hiddenSize, heads, headDim },
    layers: metadata.number(key("block_count")),
    theta: metadata.number(key("rope.freq_base"), 10_000),
  };
  metadata.only(key("attention.value_length"), headDim);
  metadata.only(key("attention.causal"), true);
  for (const name of ["expert_count", "expert_used_count"]) metadata.only(key(name), 0);
  metadata.ignore(key("rope.scaling.finetuned"), key("tensor_data_layout"));
  const config = {
    architectures: [`${className}ForCausalLM`],
    model_type: modelType,
    vocab_size: vocabularySize(source, key("vocab_size")),
    hidden_size: hiddenSize,
    intermediate_size: metadata.number(key("feed_forward_length")),
    num_hidden_layers: sizes.layers,
    num_attention_heads: heads,
    num_key_value_heads: metadata.number(key("attention.head_count_kv"), heads),
    head_dim: headDim,
    max_position_embeddings: metadata.number(key("context_length")),
    rms_norm_eps: metadata.number(key("attention.layer_norm_rms_epsilon")),
    rope_theta: sizes.theta,
    tie_word_embeddings: !tensors.has("output.weight"),
    ...ropeScaling(source, key, sizes),
    ...fields?.({ ...source, ...sizes }, key),
  };
  metadata.refuseUnread(`${architecture}.`);
  return config;
}

/** The embedding's rows; what the metadata says must be as many. */
function vocabularySize({ metadata, tensors, problems }: ConfigSource, key: string): number {
  const rows = tensors.get("token_embd.weight")?.shape[0];
  const stated = metadata.number(key, rows ?? 1);
  if (rows !== undefined && stated !== rows)
    problems.push(`${key} is ${stated}, and token_embd.weight has ${rows} rows`);
  return stated;
}

const ORIGINAL = "rope.scaling.original_context_length";

function ropeScaling(source: ConfigSource, key: (name: string) => string, { headDim }: Sizes): JsonObject {
  const { metadata, problems } = source;
  const architecture = key("").slice(0, -1);
  if (architecture !== "phi3") metadata.only(key("rope.dimension_count"), headDim);
  const type = metadata.text(key("rope.scaling.type"), "none");
  const factor = () => metadata.number(key("rope.scaling.factor"));
  if (type === "linear") return { rope_scaling: { rope_type: "linear", factor: factor() } };
  if (type === "yarn") {
    return {
      rope_scaling: {
        ...{ rope_type: "yarn", factor: factor() },
        original_max_position_embeddings: metadata.number(key(ORIGINAL)),
        beta_fast: metadata.number(key("rope.scaling.yarn_beta_fast"), 32),
        beta_slow: metadata.number(key("rope.scaling.yarn_beta_slow"), 1),
      },
    };
  }
  // Where the type has no use for them, converters write them all the same.
  if (type === "none") metadata.ignore(key("rope.scaling.factor"));
  else problems.push(`${key("rope.scaling.type")} is ${type}; supported are none, linear and yarn`);
  return {};
}

function llama({ tensors, factors, headDim, theta, problems }: Sizes & ConfigSource): JsonObject {
  const own = factors.get("rope_freqs.weight");
  if (own && own.length !== headDim / 2)
    problems.push(`rope_freqs.weight has ${own.length} values for ${headDim / 2} pairs of a head`);
  return {
    attention_bias: tensors.has("blk.0.attn_q.bias"),
    mlp_bias: tensors.has("blk.0.ffn_gate.bias"),
    ...(own && own.length === headDim / 2 && factorScaling(own, headDim, theta)),
  };
}

/** Context of Llama 3's first models, and what divides frequencies in its later ones. */
const LLAMA3 = {
  rope_type: "llama3",
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
} as const;

/**
 * llama.cpp has the factors themselves. As transformers has them: the settings that give them, where these are those of the
 * published models, else "longrope", with the same factors at any length.
 */
function factorScaling(factors: Float32Array, headDim: number, theta: number): JsonObject {
  const scaling = { ...LLAMA3, factor: factors.at(-1) as number };
  const plain = ropeFrequencies({ headDim, theta });
  const scaled = ropeFrequencies({ headDim, theta, scaling });
  const isSame = factors.every(
    (factor, i) => Math.abs((plain[i] as number) / (scaled[i] as number) / factor - 1) < 1e-5,
  );
  if (isSame) return { rope_scaling: scaling };
  const list = [...factors];
  return {
    rope_scaling: {
      rope_type: "longrope",
      short_factor: list,
      long_factor: list,
      factor: 1,
      attention_factor: 1,
    },
  };
}

/** Queries of the largest models are scaled by the mean size of a head: llama.cpp tells them by their layers. */
const queryScalar = ({ layers, hiddenSize, heads, headDim }: Sizes, layersOfLargest: number) =>
  layers === layersOfLargest ? hiddenSize / heads : headDim;

function gemma2(source: Sizes & ConfigSource, key: (name: string) => string): JsonObject {
  const { metadata } = source;
  return {
    hidden_activation: "gelu_pytorch_tanh",
    query_pre_attn_scalar: queryScalar(source, 46),
    sliding_window: metadata.number(key("attention.sliding_window"), 4096),
    attn_logit_softcapping: metadata.number(key("attn_logit_softcapping"), 50),
    final_logit_softcapping: metadata.number(key("final_logit_softcapping"), 30),
  };
}

function gemma3(source: Sizes & ConfigSource, key: (name: string) => string): JsonObject {
  const { metadata } = source;
  const window = key("attention.sliding_window");
  const softcap = key("final_logit_softcapping");
  return {
    hidden_activation: "gelu_pytorch_tanh",
    query_pre_attn_scalar: queryScalar(source, 62),
    sliding_window: metadata.has(window) ? metadata.number(window) : null,
    sliding_window_pattern: metadata.number(key("attention.sliding_window_pattern"), 6),
    rope_local_base_freq: metadata.number(key("rope.freq_base_swa"), 10_000),
    ...(metadata.has(softcap) && { final_logit_softcapping: metadata.number(softcap) }),
  };
}

function phi3(
  { metadata, factors, headDim, problems }: Sizes & ConfigSource,
  key: (name: string) => string,
): JsonObject {
  const window = metadata.number(key("attention.sliding_window"), 0);
  const long = factors.get("rope_factors_long.weight");
  const short = factors.get("rope_factors_short.weight");
  if (!long !== !short)
    problems.push("of rope_factors_long.weight and rope_factors_short.weight one is missing");
  const fields = {
    partial_rotary_factor: metadata.number(key("rope.dimension_count"), headDim) / headDim,
    sliding_window: window > 0 ? window : null,
  };
  const attention_factor = metadata.number(key("rope.scaling.attn_factor"), 1);
  const original = metadata.number(key(ORIGINAL), metadata.number(key("context_length")));
  if (!long || !short) return fields;
  return {
    ...fields,
    original_max_position_embeddings: original,
    rope_scaling: {
      ...{ rope_type: "longrope", attention_factor },
      ...{ short_factor: [...short], long_factor: [...long] },
    },
  };
}
