import type { MakeMixture } from "../nn/expert-layer.ts";
import type { ConfigReader } from "./config-reader.ts";
import { buildDecoder, type DecoderConfig, replicableDecoder } from "./decoder.ts";
import {
  type DecoderDefaults,
  readBiases,
  readDecoder,
  slidingLayers,
  switchedWindow,
} from "./decoder-reader.ts";
import { type Family, family } from "./family.ts";
import { readLayerRopes } from "./rope-config.ts";

/** The default target modules of most families. */
export const QV = ["q_proj", "v_proj"];

/** A family of decoders, whatever the head. */
export interface DecoderFamily extends Partial<Pick<Family, "renames" | "fileNames">> {
  /** What the names of its classes begin with. */
  readonly className: string;
  /** The same of the classes of a text model, where they are called otherwise. */
  readonly textName?: string;
  readonly modelType: string;
  readonly defaultTargets: readonly string[];
  read(c: ConfigReader): DecoderConfig;
  /** Of families with experts. */
  readonly makeMixture?: MakeMixture;
}

/**
 * Decoder families. Only this file and its like know families' names. Defaults are those of the families' config classes in
 * transformers 5.18, targets those of PEFT 0.21 (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`), or the like where PEFT has
 * none.
 */
export const DECODERS: readonly DecoderFamily[] = [
  { className: "Llama", modelType: "llama", defaultTargets: QV, read: llama },
  { className: "Mistral", modelType: "mistral", defaultTargets: QV, read: mistral },
  { className: "Qwen2", modelType: "qwen2", defaultTargets: QV, read: qwen2 },
  { className: "Qwen3", modelType: "qwen3", defaultTargets: QV, read: qwen3 },
  { className: "Gemma", modelType: "gemma", defaultTargets: QV, read: gemma },
  { className: "Gemma2", modelType: "gemma2", defaultTargets: QV, read: gemma2 },
  { className: "Gemma3", textName: "Gemma3Text", modelType: "gemma3_text", defaultTargets: QV, read: gemma3 },
  { className: "Phi3", modelType: "phi3", defaultTargets: ["qkv_proj"], read: phi3 },
  { className: "Olmo2", modelType: "olmo2", defaultTargets: QV, read: olmo2 },
  { className: "Granite", modelType: "granite", defaultTargets: QV, read: granite },
  { className: "SmolLM3", modelType: "smollm3", defaultTargets: QV, read: smolLm3 },
  { className: "StableLm", modelType: "stablelm", defaultTargets: QV, read: stableLm },
];

/** Those with the head that most have, by the architecture name in their configs; the other heads are in `decoder-heads.ts`. */
export const DECODER_FAMILIES: Readonly<Record<string, Family>> = /* @__PURE__ */ Object.fromEntries(
  /* @__PURE__ */ DECODERS.map(causalDecoder),
);

/** A family's entry with the head that predicts the next token. */
export function causalDecoder({
  className,
  makeMixture,
  renames = [],
  fileNames = [],
  ...own
}: DecoderFamily): [architecture: string, Family] {
  const { modelType, defaultTargets, read } = own;
  const entry = family({
    ...{ modelType, defaultTargets, renames, fileNames, read },
    ties: [["lm_head.weight", "model.embed_tokens.weight"]],
    leftovers: /^score\./,
    build: (device, weights, c) => buildDecoder(device, weights, c, makeMixture),
    replicable: replicableDecoder("model.layers"),
  });
  return [`${className}ForCausalLM`, entry];
}

function llama(c: ConfigReader): DecoderConfig {
  return { ...readDecoder(c, { maxPositions: 2048, normEps: 1e-6, tied: false }), ...readBiases(c) };
}

function mistral(c: ConfigReader): DecoderConfig {
  const base = readDecoder(c, { maxPositions: 131_072, normEps: 1e-6, tied: false, numKvHeads: 8 });
  const window = c.optional("sliding_window", "size", 4096) ?? 0;
  return { ...base, layers: base.layers.map((layer) => ({ ...layer, window })) };
}

/** Layers from `max_window_layers` on slide, where `use_sliding_window` switches that on. */
function lateWindows(c: ConfigReader, { layers }: DecoderConfig): DecoderConfig["layers"] {
  const first = c.index("max_window_layers", 28);
  return slidingLayers(c, layers, switchedWindow(c, 4096), (layer) => layer >= first);
}

function qwen2(c: ConfigReader): DecoderConfig {
  const base = readDecoder(c, { maxPositions: 32_768, normEps: 1e-6, tied: false, numKvHeads: 32 });
  return { ...base, qkvBias: true, layers: lateWindows(c, base) };
}

function qwen3(c: ConfigReader): DecoderConfig {
  const defaults = { maxPositions: 32_768, normEps: 1e-6, tied: false, numKvHeads: 32, headDim: 128 };
  const base = { ...readDecoder(c, defaults), ...readBiases(c) };
  return { ...base, qkNorm: "head", layers: lateWindows(c, base) };
}

const GEMMA = { maxPositions: 8192, normEps: 1e-6, tied: true, headDim: 256, numKvHeads: 16 };

function gemma(c: ConfigReader): DecoderConfig {
  const base = readDecoder(c, { ...GEMMA, activation: "gelu_pytorch_tanh" });
  // Old configs say "gelu" and mean the tanh approximation, which newer ones say in a second field.
  c.only("hidden_activation", ["gelu_pytorch_tanh"]);
  const activation = base.activation === "gelu" ? "gelu_tanh" : base.activation;
  return scaledGemma({ ...base, ...readBiases(c), activation });
}

const scaledGemma = (base: DecoderConfig): DecoderConfig => ({
  ...base,
  normOffset: 1,
  embeddingScale: Math.sqrt(base.hiddenSize),
});

/** Norms before and after attention and MLP. */
const SANDWICH: DecoderConfig["norms"] = {
  beforeAttention: "input_layernorm",
  afterAttention: "post_attention_layernorm",
  beforeMlp: "pre_feedforward_layernorm",
  afterMlp: "post_feedforward_layernorm",
};

/** What the second and third generation have in common. */
function sandwichedGemma(c: ConfigReader, defaults: Partial<DecoderDefaults>): DecoderConfig {
  const activation = { activationField: "hidden_activation", activation: "gelu_pytorch_tanh" };
  const base = readDecoder(c, { ...GEMMA, ...activation, numKvHeads: 4, ...defaults });
  c.only("hidden_act", ["gelu_pytorch_tanh"]); // the older name, beside the newer one
  const queryScale = c.positive("query_pre_attn_scalar", 256) ** -0.5;
  return scaledGemma({ ...base, ...readBiases(c), norms: SANDWICH, queryScale });
}

function gemma2(c: ConfigReader): DecoderConfig {
  const base = sandwichedGemma(c, {});
  const window = c.optional("sliding_window", "size", 4096);
  c.only("sliding_window_size", [window]); // an older name, beside the newer one
  return {
    ...base,
    attentionSoftcap: c.optional("attn_logit_softcapping", "positive", 50) ?? 0,
    logitSoftcap: c.optional("final_logit_softcapping", "positive", 30) ?? 0,
    layers: slidingLayers(c, base.layers, window, (layer) => layer % 2 === 0),
  };
}

function gemma3(c: ConfigReader): DecoderConfig {
  const maxPositions = 131_072;
  const thetas = { full: 1_000_000, sliding: 10_000 };
  const ropes = readLayerRopes(c, c.headDim(256), { maxPositions, thetas });
  const base = sandwichedGemma(c, { maxPositions, rope: ropes.full });
  const window = c.optional("sliding_window", "size", 4096);
  const pattern = c.size("sliding_window_pattern", c.size("_sliding_window_pattern", 6));
  const isSliding = (layer: number) => (layer + 1) % pattern !== 0;
  return {
    ...base,
    qkNorm: "head",
    logitSoftcap: c.optional("final_logit_softcapping", "positive") ?? 0,
    layers: slidingLayers(c, base.layers, window, isSliding, ropes.sliding),
  };
}

function phi3(c: ConfigReader): DecoderConfig {
  const ropeDefaults = { partial: 1, aliases: { su: "longrope", yarn: "longrope" } } as const;
  const base = readDecoder(c, { maxPositions: 4096, normEps: 1e-5, tied: false, ropeDefaults });
  const window = c.optional("sliding_window", "size") ?? 0;
  c.ignore("original_max_position_embeddings"); // stated by all of them, read where the rotary embedding is scaled
  c.only("full_attn_mod", [1]);
  c.only("interpolate_factor", [1]);
  return { ...base, fusedProjections: true, layers: base.layers.map((layer) => ({ ...layer, window })) };
}

function olmo2(c: ConfigReader): DecoderConfig {
  return {
    ...readDecoder(c, { maxPositions: 2048, normEps: 1e-5, tied: false }),
    ...readBiases(c),
    norms: { afterAttention: "post_attention_layernorm", afterMlp: "post_feedforward_layernorm" },
    qkNorm: "all-heads",
  };
}

function granite(c: ConfigReader): DecoderConfig {
  return {
    ...readDecoder(c, { maxPositions: 2048, normEps: 1e-6, tied: false }),
    ...readBiases(c),
    embeddingScale: c.number("embedding_multiplier", 1),
    scalesInputs: true,
    queryScale: c.number("attention_multiplier", 1),
    residualScale: c.number("residual_multiplier", 1),
    logitScale: 1 / c.positive("logits_scaling", 1),
  };
}

function smolLm3(c: ConfigReader): DecoderConfig {
  const defaults = { maxPositions: 32_768, normEps: 1e-6, tied: true, numKvHeads: 4 };
  const base = { ...readDecoder(c, { ...defaults, ropeDefaults: { theta: 2_000_000 } }), ...readBiases(c) };
  const interval = c.size("no_rope_layer_interval", 4);
  c.ignore("max_window_layers"); // in the published config, read by no version of the class
  const rotates = c.numbers("no_rope_layers", { min: 0, max: 1 }); // 1: the layer has a rotary embedding
  const count = base.layers.length;
  if (rotates && rotates.length < count) {
    c.refuse("no_rope_layers", `has ${rotates.length} entries for ${count} layers`);
  }
  const hasRope = (layer: number) => (rotates ? rotates[layer] !== 0 : (layer + 1) % interval !== 0);
  const layers = slidingLayers(c, base.layers, switchedWindow(c), (layer) => !hasRope(layer));
  return {
    ...base,
    layers: layers.map((layer, i) => (hasRope(i) ? layer : { ...layer, rope: undefined })),
  };
}

function stableLm(c: ConfigReader): DecoderConfig {
  const sizes = { maxPositions: 4096, tied: false, numKvHeads: 32, ropeDefaults: { partial: 0.25 } };
  const base = readDecoder(c, { ...sizes, normEps: 1e-5, normEpsField: "layer_norm_eps" });
  return { ...base, normKind: "layer", qkvBias: c.boolean("use_qkv_bias", false) };
}
