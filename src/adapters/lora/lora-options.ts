import { FACTOR } from "../../util/options.ts";
import {
  BESIDE_OPTIONS,
  CHANCE,
  LAYER_OPTIONS,
  type MethodOptions,
  patternOptions,
  targetOption,
} from "../method-options.ts";
import { isLoraStart, LORA_STARTS } from "./initial/lora-start.ts";
import { INVOCATION, LORA_DEFAULTS, type LoraOptions, TOKENS } from "./lora.ts";
import { BIAS_CHOICES } from "./lora-biases.ts";

/** The options of LoRA as commands name them: PEFT's fields, rank and alpha as TRL has them. */
export const LORA_OPTIONS: MethodOptions<LoraOptions> = {
  lora_r: {
    sets: "r",
    value: { is: "whole", min: 1 },
    fallback: LORA_DEFAULTS.r,
    help: "rank",
    aliases: ["rank", "r"],
  },
  lora_alpha: {
    sets: "alpha",
    value: { is: "number", bounds: { above: 0, max: FACTOR.max } },
    fallback: LORA_DEFAULTS.alpha,
    help: "the update is scaled by alpha / rank",
    aliases: ["alpha"],
  },
  lora_dropout: {
    sets: "dropout",
    value: CHANCE,
    fallback: LORA_DEFAULTS.dropout,
    help: "dropout before the update",
  },
  ...targetOption("layers to adapt", LORA_DEFAULTS.targetModules),
  ...LAYER_OPTIONS,
  ...patternOptions("lora_r", "lora_alpha"),
  init_lora_weights: {
    sets: "initWeights",
    value: {
      is: "read",
      placeholder: "start",
      wanted: LORA_STARTS,
      read: (value) => [value === "true" ? true : value].find(isLoraStart),
    },
    fallback: LORA_DEFAULTS.initWeights,
    help: "how the adapter begins: true (lora_B is 0), gaussian, orthogonal, or out of the weights: pissa, pissa_niter_4 (quicker), olora; or so that it makes up for the base's quantization: loftq; or from the data: eva",
    aliases: ["init_weights"],
  },
  use_rslora: {
    sets: "useRslora",
    value: { is: "switch" },
    fallback: LORA_DEFAULTS.useRslora,
    help: "scale by alpha / √rank instead",
  },
  use_dora: {
    sets: "useDora",
    value: { is: "switch" },
    fallback: LORA_DEFAULTS.useDora,
    help: "train the norms of the weights' rows apart from their directions (DoRA)",
  },
  loftq_bits: {
    sets: "loftqBits",
    value: {
      is: "read",
      placeholder: "n",
      wanted: "4 or 8",
      read: (value) => [4, 8].find((bits) => bits === Number(value)),
    },
    fallback: LORA_DEFAULTS.loftqBits,
    help: "bits of the base that loftq rounds to, where it is not quantised already",
  },
  loftq_iter: {
    sets: "loftqIterations",
    value: { is: "whole", min: 1 },
    fallback: LORA_DEFAULTS.loftqIterations,
    help: "times that loftq rounds the base and fits the adapter to the rest",
  },
  eva_rho: {
    sets: "evaRho",
    value: { is: "number", bounds: { min: 1 } },
    fallback: LORA_DEFAULTS.evaRho,
    help: "eva: a layer gets at most this many times its rank; 1 leaves the ranks as they are",
  },
  eva_tau: {
    sets: "evaTau",
    value: { is: "number", bounds: { above: 0, max: 1 } },
    fallback: LORA_DEFAULTS.evaTau,
    help: "eva: cosine with the same direction a batch before, from which on it is found",
  },
  eva_whiten: {
    sets: "evaWhiten",
    value: { is: "switch" },
    fallback: LORA_DEFAULTS.evaWhiten,
    help: "eva: divide directions by the root of their singular value",
  },
  eva_adjust_scaling_factors: {
    sets: "evaAdjustScalingFactors",
    value: { is: "switch" },
    fallback: LORA_DEFAULTS.evaAdjustScalingFactors,
    help: "eva: a layer's alpha goes with its rank",
  },
  bias: {
    sets: "bias",
    value: { is: "choice", choices: BIAS_CHOICES },
    fallback: LORA_DEFAULTS.bias,
    help: "biases of the model to train beside it: none, lora_only (those of the adapted layers) or all",
  },
  lora_bias: {
    sets: "loraBias",
    value: { is: "switch" },
    fallback: LORA_DEFAULTS.loraBias,
    help: "give lora_B a bias",
  },
  alora_invocation_tokens: {
    sets: "aloraInvocationTokens",
    value: { is: "read", placeholder: "tokens", wanted: INVOCATION.wanted, read: readInvocation },
    help: "act on the tokens from the last occurrence of these on alone (aLoRA): ids separated by commas, or a text; each row should have it",
    aliases: ["invocation_tokens"],
  },
  trainable_token_indices: {
    sets: "trainableTokenIndices",
    value: { is: "read", placeholder: "ids", wanted: TOKENS.wanted, read: readTokens },
    help: 'tokens whose vectors are trained in place of the whole embedding: ids separated by commas, or {"embed_tokens": [5, 9]}',
  },
  ensure_weight_tying: {
    sets: "ensureWeightTying",
    value: { is: "switch" },
    fallback: LORA_DEFAULTS.ensureWeightTying,
    help: "where the embedding and the output layer are one matrix, adapt both alike",
  },
  ...BESIDE_OPTIONS,
};

/** Ids as {@link readTokens} has them, or any other text as it is. */
function readInvocation(value: unknown): unknown {
  const ids = readTokens(value);
  const read = Array.isArray(ids) ? ids : value;
  return INVOCATION.accepts(read) ? read : undefined;
}

/** Ids with commas between, or what JSON or a configuration has. */
function readTokens(value: unknown): unknown {
  const words = typeof value === "string" ? value.trim() : value;
  if (typeof words !== "string") return TOKENS.accepts(words) ? words : undefined;
  const isList = /^\d+(\s*,\s*\d+)*$/.test(words);
  try {
    const read: unknown = isList ? words.split(",").map(Number) : JSON.parse(words);
    return TOKENS.accepts(read) ? read : undefined;
  } catch {
    return undefined;
  }
}
