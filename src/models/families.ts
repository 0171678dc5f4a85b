import type { Device } from "../gpu/device.ts";
import type { RopeOptions, RopeScaling } from "../kernels/rope.ts";
import type { Weights } from "../nn/weights.ts";
import { fail, LoraError } from "../util/fail.ts";
import { buildDecoder, type DecoderConfig } from "./decoder.ts";
import type { LanguageModel } from "./model.ts";

/** A `config.json` as Hugging Face writes it. */
export type HfConfig = Readonly<Record<string, unknown>>;

/** One architecture name → how to build it. The only place in which family names occur. */
const FAMILIES: Readonly<Record<string, (config: ConfigReader) => DecoderConfig>> = {
  LlamaForCausalLM: llama,
};

/**
 * Builds the model that a `config.json` describes.
 * @throws LoraError of kind `unsupported` for an architecture, or a setting, that is not implemented.
 */
export function buildModel(device: Device, config: HfConfig, weights: Weights): LanguageModel {
  return buildDecoder(device, weights, decoderConfig(config));
}

/** The engine's own description of a Hugging Face config. */
export function decoderConfig(config: HfConfig): DecoderConfig {
  const architecture = Array.isArray(config.architectures) ? String(config.architectures[0]) : undefined;
  const family = architecture === undefined ? undefined : FAMILIES[architecture];
  if (!family) {
    const known = Object.keys(FAMILIES).join(", ");
    throw new LoraError(
      "unsupported",
      "config.json",
      `architecture ${architecture ?? "(none given)"} is not supported`,
      `supported: ${known}`,
    );
  }
  return family(new ConfigReader(config));
}

function llama(c: ConfigReader): DecoderConfig {
  const hiddenSize = c.number("hidden_size");
  const numHeads = c.number("num_attention_heads");
  const headDim = c.number("head_dim", hiddenSize / numHeads);
  const attentionBias = c.boolean("attention_bias", false);
  c.only("hidden_act", ["silu", "swish"], "silu");
  return {
    vocabSize: c.number("vocab_size"),
    hiddenSize,
    intermediateSize: c.number("intermediate_size"),
    numLayers: c.number("num_hidden_layers"),
    numHeads,
    numKvHeads: c.number("num_key_value_heads", numHeads),
    headDim,
    maxPositions: c.number("max_position_embeddings", 2048),
    normEps: c.number("rms_norm_eps", 1e-6),
    activation: "silu",
    qkvBias: attentionBias,
    outputBias: attentionBias,
    mlpBias: c.boolean("mlp_bias", false),
    queryScale: 1 / Math.sqrt(headDim),
    rope: c.rope(headDim),
    tied: c.boolean("tie_word_embeddings", false),
    defaultTargets: ["q_proj", "v_proj"], // PEFT's table of default target modules
  };
}

/** Reads fields of a `config.json` with their types checked and named in errors. */
class ConfigReader {
  readonly #config: HfConfig;

  constructor(config: HfConfig) {
    this.#config = config;
  }

  number(name: string, fallback?: number): number {
    const value = this.#config[name] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      fail("config.json", `${name} is ${JSON.stringify(value)}, expected a number`);
    }
    return value;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#config[name] ?? fallback;
    if (typeof value !== "boolean")
      fail("config.json", `${name} is ${JSON.stringify(value)}, expected true or false`);
    return value;
  }

  /** Refuses any value but these: a setting that is not implemented is never ignored. */
  only(name: string, allowed: readonly unknown[], fallback: unknown): void {
    const value = this.#config[name] ?? fallback;
    if (allowed.includes(value)) return;
    throw new LoraError("unsupported", "config.json", `${name} ${JSON.stringify(value)} is not supported`);
  }

  /** `rope_theta` and `rope_scaling`, or transformers 5's `rope_parameters` that holds both. */
  rope(headDim: number): RopeOptions {
    const parameters = (this.#config.rope_parameters ?? this.#config.rope_scaling ?? {}) as HfConfig;
    const reader = new ConfigReader(parameters);
    const theta = reader.number("rope_theta", this.number("rope_theta", 10_000));
    const kind = String(parameters.rope_type ?? parameters.type ?? "default");
    return { headDim, theta, scaling: ropeScaling(kind, reader) };
  }
}

function ropeScaling(kind: string, reader: ConfigReader): RopeScaling {
  if (kind === "default") return { rope_type: kind };
  if (kind === "linear") return { rope_type: kind, factor: reader.number("factor") };
  if (kind === "llama3") {
    return {
      rope_type: kind,
      factor: reader.number("factor"),
      low_freq_factor: reader.number("low_freq_factor"),
      high_freq_factor: reader.number("high_freq_factor"),
      original_max_position_embeddings: reader.number("original_max_position_embeddings"),
    };
  }
  throw new LoraError(
    "unsupported",
    "config.json",
    `rope_type "${kind}" is not supported`,
    "supported: default, linear, llama3",
  );
}
