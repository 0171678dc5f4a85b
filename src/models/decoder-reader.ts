import type { RopeOptions } from "../kernels/rope-frequencies.ts";
import { readActivation } from "./activation-names.ts";
import type { ConfigReader } from "./config-reader.ts";
import type { DecoderConfig, LayerConfig } from "./decoder.ts";
import { type RopeDefaults, readRope, stretchedPositions } from "./rope-config.ts";

/** What a family's configs mean where they leave a field out: transformers omits fields that equal the class's default. */
export interface DecoderDefaults {
  /** `max_position_embeddings`. */
  maxPositions: number;
  /** `rms_norm_eps`, or another field of that meaning. */
  normEps: number;
  normEpsField?: string;
  /** `tie_word_embeddings`. */
  tied: boolean;
  /** `num_key_value_heads`; as many as query heads unless given. */
  numKvHeads?: number;
  /** `head_dim`; hidden size / heads unless given. */
  headDim?: number;
  /** `hidden_act`, or another field of that meaning. */
  activation?: string;
  activationField?: string;
  ropeDefaults?: RopeDefaults;
  /** The rotary embedding, where the family has read it already. */
  rope?: RopeOptions;
}

/** The plainest decoder with a config's sizes; families state their differences on top of it. */
export function readDecoder(c: ConfigReader, defaults: DecoderDefaults): DecoderConfig {
  const { activation = "silu", activationField = "hidden_act", normEpsField = "rms_norm_eps" } = defaults;
  const hiddenSize = c.size("hidden_size");
  const numHeads = c.size("num_attention_heads");
  const headDim = c.headDim(defaults.headDim ?? hiddenSize / numHeads);
  const numKvHeads = c.size("num_key_value_heads", defaults.numKvHeads ?? numHeads);
  if (numHeads % numKvHeads !== 0) {
    c.refuse("num_key_value_heads", `${numKvHeads} does not divide the ${numHeads} query heads`);
  }
  c.ignore("is_decoder");
  const maxPositions = c.size("max_position_embeddings", defaults.maxPositions);
  const rope = defaults.rope ?? readRope(c, headDim, { maxPositions, ...defaults.ropeDefaults });
  const layers: LayerConfig[] = Array.from({ length: c.layers("num_hidden_layers") }, () => ({
    window: 0,
    rope,
  }));
  return {
    vocabSize: c.size("vocab_size"),
    hiddenSize,
    intermediateSize: c.size("intermediate_size"),
    numHeads,
    numKvHeads,
    headDim,
    maxPositions: stretchedPositions(maxPositions, rope),
    layers,
    normKind: "rms",
    normEps: c.nonNegative(normEpsField, defaults.normEps),
    normOffset: 0,
    norms: { beforeAttention: "input_layernorm", beforeMlp: "post_attention_layernorm" },
    activation: readActivation(c, activationField, activation),
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    fusedProjections: false,
    qkNorm: "none",
    queryScale: headDim ** -0.5,
    attentionSoftcap: 0,
    sinks: false,
    embeddingScale: 1,
    scalesInputs: false,
    residualScale: 1,
    logitScale: 1,
    logitSoftcap: 0,
    tied: c.boolean("tie_word_embeddings", defaults.tied),
  };
}

/** `attention_bias` (queries, keys, values and output) and `mlp_bias`. */
export function readBiases(c: ConfigReader): Pick<DecoderConfig, "qkvBias" | "outputBias" | "mlpBias"> {
  const attention = c.boolean("attention_bias", false);
  return { qkvBias: attention, outputBias: attention, mlpBias: c.boolean("mlp_bias", false) };
}

const LAYER_TYPES = ["full_attention", "sliding_attention"];

/**
 * Layers with sliding windows where `layer_types` says so, or the family's rule where the config has no such list.
 * @param window of the sliding layers; undefined: none slides
 * @param rope of the sliding layers, where it is another than the full layers'
 */
export function slidingLayers(
  c: ConfigReader,
  layers: readonly LayerConfig[],
  window: number | undefined,
  slides: (layer: number) => boolean,
  rope?: RopeOptions,
): LayerConfig[] {
  const types = c.texts("layer_types");
  const alien = types?.find((type) => !LAYER_TYPES.includes(type));
  if (alien !== undefined) c.refuse("layer_types", `${JSON.stringify(alien)} is not supported`);
  if (types && types.length < layers.length) {
    c.refuse("layer_types", `has ${types.length} entries for ${layers.length} layers`);
  }
  const isSliding = (i: number) => (types ? types[i] === "sliding_attention" : slides(i));
  return layers.map((layer, i) =>
    isSliding(i) ? { ...layer, rope: rope ?? layer.rope, window: window ?? 0 } : { ...layer, window: 0 },
  );
}

/** `sliding_window` where `use_sliding_window` switches it on; else it may hold anything. */
export function switchedWindow(c: ConfigReader, absent?: number): number | undefined {
  c.ignore("sliding_window");
  return c.boolean("use_sliding_window", false) ? c.optional("sliding_window", "size", absent) : undefined;
}
