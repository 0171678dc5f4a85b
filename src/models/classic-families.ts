import type { Activation } from "../kernels/activation.ts";
import type { ConfigReader } from "./config-reader.ts";
import { type Family, family } from "./family.ts";
import { buildGpt2, type Gpt2Config } from "./gpt2.ts";

/** Decoders from before RMSNorm and gated MLPs, by the architecture name in their configs. */
export const CLASSIC_FAMILIES: Readonly<Record<string, Family>> = {
  GPT2LMHeadModel: family({
    modelType: "gpt2",
    defaultTargets: ["c_attn"],
    renames: [[/^(?=(?:wte|wpe|ln_f|h)\.)/, "transformer."]], // the hub's own checkpoint lacks the prefix
    read: readGpt2,
    build: buildGpt2,
  }),
};

/** Names of activations in configs. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  quick_gelu: "quick_gelu",
  relu: "relu",
  relu2: "relu2",
  silu: "silu",
  swish: "silu",
  tanh: "tanh",
};

/** The activation that a field names. */
export function readActivation(c: ConfigReader, field: string, fallback: string): Activation {
  return ACTIVATIONS[c.choice(field, Object.keys(ACTIVATIONS), fallback)] as Activation;
}

function readGpt2(c: ConfigReader): Gpt2Config {
  const hiddenSize = c.number("n_embd");
  const numHeads = c.number("n_head");
  const scaled = c.boolean("scale_attn_weights", true) ? Math.sqrt(hiddenSize / numHeads) : 1;
  const byLayer = c.boolean("scale_attn_by_inverse_layer_idx", false);
  // The rest is of other heads, of older code, or the order of operations in half precision.
  c.ignore("n_ctx", "n_special", "predict_special_tokens", "reorder_and_upcast_attn");
  c.ignore("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels");
  c.only("add_cross_attention", [false]);
  return {
    vocabSize: c.number("vocab_size"),
    hiddenSize,
    intermediateSize: c.optionalNumber("n_inner") ?? 4 * hiddenSize,
    numLayers: c.number("n_layer"),
    numHeads,
    maxPositions: c.number("n_positions", 1024),
    normEps: c.number("layer_norm_epsilon", 1e-5),
    activation: readActivation(c, "activation_function", "gelu_new"),
    queryScale: (layer) => 1 / (scaled * (byLayer ? layer + 1 : 1)),
    tied: c.boolean("tie_word_embeddings", true),
  };
}
