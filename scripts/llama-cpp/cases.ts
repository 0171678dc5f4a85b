import type { HfConfig } from "../../src/models/config-reader.ts";

/** A model that llama.cpp is to open: small, random, with what is special about its family. */
export interface Case {
  readonly name: string;
  readonly config: HfConfig;
  readonly tokenizer: "bytes" | "spaces";
}

const SIZES = {
  vocab_size: 300,
  hidden_size: 64,
  intermediate_size: 160,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  initializer_range: 0.2, // scores far enough apart that rounding to F16 chooses no other token
  bos_token_id: 1,
  eos_token_id: 2,
} as const;

const LLAMA3 = {
  rope_type: "llama3",
  rope_theta: 500_000,
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
};
const GEMMA = { ...SIZES, head_dim: 24, hidden_activation: "gelu_pytorch_tanh", tie_word_embeddings: true };
const factors = (first: number) => Array.from({ length: 6 }, (_, i) => first + i / 8);

/** Seven layers: one more than the period of Gemma 3's sliding windows. */
export const CASES: readonly Case[] = [
  model("Llama", "llama", { ...SIZES, num_hidden_layers: 3, tie_word_embeddings: false }),
  model(
    "Llama",
    "llama",
    { ...SIZES, num_hidden_layers: 3, rope_scaling: LLAMA3 },
    "llama 3, biases",
    "bytes",
    {
      attention_bias: true,
      mlp_bias: true,
    },
  ),
  model("Mistral", "mistral", { ...SIZES, num_hidden_layers: 2, sliding_window: null, head_dim: 24 }),
  model("Qwen2", "qwen2", { ...SIZES, num_hidden_layers: 3, use_sliding_window: false }, "qwen2", "bytes"),
  model(
    "Qwen2",
    "qwen2",
    {
      ...{ ...SIZES, num_hidden_layers: 2, use_sliding_window: false, tie_word_embeddings: true },
      rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 },
    },
    "qwen2, yarn",
    "bytes",
  ),
  model("Qwen3", "qwen3", { ...SIZES, num_hidden_layers: 3, head_dim: 24 }, "qwen3", "bytes"),
  model("Gemma", "gemma", { ...GEMMA, num_hidden_layers: 2, hidden_act: "gelu_pytorch_tanh" }),
  model("Gemma2", "gemma2", {
    ...{ ...GEMMA, num_hidden_layers: 4, sliding_window: 16, query_pre_attn_scalar: 24 },
    ...{ attn_logit_softcapping: 20, final_logit_softcapping: 15 },
  }),
  model("Gemma3", "gemma3_text", {
    ...{
      ...GEMMA,
      num_hidden_layers: 7,
      sliding_window: 16,
      query_pre_attn_scalar: 24,
      sliding_window_pattern: 6,
    },
    ...{ rope_theta: 1_000_000, rope_local_base_freq: 10_000 },
  }),
  // By a name with "phi3" or "phi-3" llama.cpp takes a model's tokenizer for the real one's.
  model(
    "Phi3",
    "phi3",
    { ...SIZES, num_hidden_layers: 3, sliding_window: null, tie_word_embeddings: false },
    "phi 3",
  ),
  model(
    "Phi3",
    "phi3",
    {
      ...{ ...SIZES, num_hidden_layers: 2, sliding_window: null, tie_word_embeddings: true },
      ...{
        partial_rotary_factor: 0.75,
        original_max_position_embeddings: 256,
        max_position_embeddings: 1024,
      },
      rope_scaling: { type: "longrope", short_factor: factors(1), long_factor: factors(2) },
    },
    "phi 3, longrope",
  ),
];

function model(
  className: string,
  model_type: string,
  fields: HfConfig,
  name = model_type,
  tokenizer: Case["tokenizer"] = "spaces",
  more: HfConfig = {},
): Case {
  const config = { architectures: [`${className}ForCausalLM`], model_type, ...fields, ...more };
  return { name, config, tokenizer };
}
