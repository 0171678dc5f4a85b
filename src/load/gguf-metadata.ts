import {
  GGUF_MODEL_TYPES,
  type GgufArchitecture,
  ggufArchitecture,
} from "../io/formats/gguf/architectures.ts";
import { type GgufValue, gguf } from "../io/formats/gguf/values.ts";
import { type RopeOptions, type RopeScaling, ropeFrequencies } from "../kernels/rope-frequencies.ts";
import type { DecoderConfig } from "../models/decoder.ts";
import { LoraError, Problems } from "../util/fail.ts";

/** A model as llama.cpp has to be told of it. */
export interface GgufModelPlan {
  readonly architecture: GgufArchitecture;
  /** The keys that begin with the architecture's name. */
  readonly metadata: readonly (readonly [string, GgufValue])[];
  /** Tensors that no checkpoint holds: factors of the rotary embedding. */
  readonly tensors: readonly { readonly name: string; readonly values: Float32Array }[];
  /** Where llama.cpp computes something else in some cases, one line each. */
  readonly warnings: readonly string[];
}

/**
 * llama.cpp's architecture of a model and its settings.
 * @throws LoraError of kind `unsupported` that names the model type, or every setting that llama.cpp's implementation of
 * the architecture does not have
 */
export function planGgufModel(modelType: string, config: DecoderConfig, name: string): GgufModelPlan {
  const architecture = requireGgufArchitecture(modelType, name);
  const problems = new Problems(obstacles(architecture.name, config));
  if (problems.length > 0) {
    throw new LoraError(
      "unsupported",
      name,
      problems,
      "keep the merged model in safetensors (merge without --gguf)",
    );
  }
  const { tensors, metadata } = ropeParts(config);
  const own = [...sizes(config), ...metadata, ...ownSettings(architecture.name, config)];
  return {
    architecture,
    metadata: own.map(([key, value]) => [`${architecture.name}.${key}`, value] as const),
    tensors,
    warnings: warningsFor(architecture.name, config),
  };
}

/** @throws LoraError of kind `unsupported` where llama.cpp's architecture for a model type is not known here */
export function requireGgufArchitecture(modelType: string, name: string): GgufArchitecture {
  const found = ggufArchitecture(modelType);
  if (found) return found;
  const got = `${modelType} cannot be written as GGUF; supported are ${GGUF_MODEL_TYPES.join(", ")}`;
  throw new LoraError(
    "unsupported",
    name,
    got,
    "keep it in safetensors, and convert it with llama.cpp's own script",
  );
}

type Entry = readonly [string, GgufValue];

function sizes(c: DecoderConfig): Entry[] {
  return [
    ["block_count", gguf.u32(c.layers.length)],
    ["context_length", gguf.u32(c.maxPositions)],
    ["embedding_length", gguf.u32(c.hiddenSize)],
    ["feed_forward_length", gguf.u32(c.intermediateSize)],
    ["attention.head_count", gguf.u32(c.numHeads)],
    ["attention.head_count_kv", gguf.u32(c.numKvHeads)],
    ["attention.key_length", gguf.u32(c.headDim)],
    ["attention.value_length", gguf.u32(c.headDim)],
    ["attention.layer_norm_rms_epsilon", gguf.f32(c.normEps)],
    ["vocab_size", gguf.u32(c.vocabSize)],
  ];
}

/** Whether attention sees less than the whole context somewhere. */
const slides = ({ layers, maxPositions }: DecoderConfig) =>
  layers.some(({ window }) => window > 0 && window < maxPositions);

const windowOf = ({ layers }: DecoderConfig) =>
  layers.reduce((most, { window }) => Math.max(most, window), 0);

function ownSettings(architecture: string, c: DecoderConfig): Entry[] {
  const entries: Entry[] = [];
  const isGemma = architecture === "gemma2" || architecture === "gemma3";
  // Phi-4 is told from Phi-3 by its window of 0.
  if (architecture === "phi3" || (isGemma && windowOf(c) > 0)) {
    entries.push(["attention.sliding_window", gguf.u32(windowOf(c))]);
  }
  if (c.attentionSoftcap > 0) entries.push(["attn_logit_softcapping", gguf.f32(c.attentionSoftcap)]);
  if (c.logitSoftcap > 0) entries.push(["final_logit_softcapping", gguf.f32(c.logitSoftcap)]);
  return entries;
}

/** The rotary embedding of the layers that see everything. */
function fullRope({ layers }: DecoderConfig): RopeOptions | undefined {
  return (layers.find(({ window }) => window === 0) ?? layers[0])?.rope;
}

function ropeParts(c: DecoderConfig): { metadata: Entry[]; tensors: GgufModelPlan["tensors"] } {
  const rope = fullRope(c);
  if (rope === undefined) return { metadata: [], tensors: [] };
  const sliding = c.layers.find((layer) => layer.window > 0 && layer.rope !== rope)?.rope;
  const metadata: Entry[] = [
    ["rope.freq_base", gguf.f32(rope.theta)],
    ["rope.dimension_count", gguf.u32(rope.rotaryDim ?? rope.headDim)],
    ...(sliding ? ([["rope.freq_base_swa", gguf.f32(sliding.theta)]] as Entry[]) : []),
    ...scalingEntries(rope.scaling),
  ];
  return { metadata, tensors: ropeTensors(rope) };
}

function scalingEntries(scaling: RopeScaling | undefined): Entry[] {
  switch (scaling?.rope_type) {
    case "linear":
      return [
        ["rope.scaling.type", gguf.string("linear")],
        ["rope.scaling.factor", gguf.f32(scaling.factor)],
      ];
    case "yarn":
      return [
        ["rope.scaling.type", gguf.string("yarn")],
        ["rope.scaling.factor", gguf.f32(scaling.factor)],
        ["rope.scaling.original_context_length", gguf.u32(scaling.original_max_position_embeddings)],
        ["rope.scaling.yarn_beta_fast", gguf.f32(scaling.beta_fast)],
        ["rope.scaling.yarn_beta_slow", gguf.f32(scaling.beta_slow)],
      ];
    case "longrope":
      return [
        ["rope.scaling.original_context_length", gguf.u32(scaling.original_max_position_embeddings)],
        ["rope.scaling.attn_factor", gguf.f32(scaling.attention_factor)],
      ];
    default:
      return [];
  }
}

/** llama.cpp divides the frequencies by these. */
function ropeTensors(rope: RopeOptions): GgufModelPlan["tensors"] {
  const { scaling } = rope;
  if (scaling?.rope_type === "llama3") {
    const scaled = ropeFrequencies(rope);
    const plain = ropeFrequencies({ ...rope, scaling: undefined });
    return [
      { name: "rope_freqs.weight", values: Float32Array.from(plain, (x, i) => x / (scaled[i] as number)) },
    ];
  }
  if (scaling?.rope_type !== "longrope") return [];
  return [
    { name: "rope_factors_long.weight", values: Float32Array.from(scaling.long_factor) },
    { name: "rope_factors_short.weight", values: Float32Array.from(scaling.short_factor) },
  ];
}

/** Layers between two that see everything, in the architectures whose layers slide. */
const PATTERNS: Readonly<Record<string, number>> = { gemma2: 2, gemma3: 6 };
/** The largest models of two generations scale their queries otherwise; llama.cpp tells them by their layers. */
const LAYERS_OF_27B: Readonly<Record<string, number>> = { gemma2: 46, gemma3: 62 };
const SOFTCAPPED: readonly string[] = ["gemma2"];
const TIED: readonly string[] = ["gemma", "gemma2"];
const WITH_BIASES: Readonly<Record<string, readonly (keyof DecoderConfig)[]>> = {
  llama: ["qkvBias", "outputBias", "mlpBias"],
  qwen2: ["qkvBias"],
};

/** Every setting that llama.cpp would leave out or take for another. */
function* obstacles(architecture: string, c: DecoderConfig): Generator<string> {
  const isGemma = architecture.startsWith("gemma");
  const activation = isGemma ? "gelu_tanh" : "silu";
  if (c.activation !== activation)
    yield `the activation is ${c.activation}, llama.cpp's ${architecture} has ${activation}`;
  for (const field of ["qkvBias", "outputBias", "mlpBias"] as const) {
    if (c[field] && !WITH_BIASES[architecture]?.includes(field))
      yield `llama.cpp's ${architecture} has no ${field}`;
  }
  if (!c.tied && TIED.includes(architecture))
    yield `llama.cpp's ${architecture} shares output layer and embedding`;
  if (c.attentionSoftcap === 0 && SOFTCAPPED.includes(architecture)) {
    yield `attn_logit_softcapping is off, llama.cpp's ${architecture} caps always`;
  }
  const isLargest = c.layers.length === LAYERS_OF_27B[architecture];
  const scale = (isLargest ? c.hiddenSize / c.numHeads : c.headDim) ** -0.5;
  if (Math.abs(c.queryScale / scale - 1) > 1e-6) {
    yield `queries are scaled by ${c.queryScale}, llama.cpp's ${architecture} takes ${scale}`;
  }
  yield* windowObstacles(architecture, c);
  yield* ropeObstacles(architecture, c);
}

function* windowObstacles(architecture: string, c: DecoderConfig): Generator<string> {
  if (architecture === "phi3" || !slides(c)) return; // Phi-3 has a warning
  const period = PATTERNS[architecture];
  if (period === undefined) {
    yield `a sliding window of ${windowOf(c)} positions: llama.cpp's ${architecture} sees everything`;
    return;
  }
  const isOther = c.layers.some(({ window }, i) => window > 0 !== (i + 1) % period > 0);
  if (isOther)
    yield `layers slide by another pattern than every ${period}th that sees everything, llama.cpp's for ${architecture}`;
}

function* ropeObstacles(architecture: string, c: DecoderConfig): Generator<string> {
  const kinds = new Set(c.layers.map(({ rope }) => rope?.scaling?.rope_type ?? "default"));
  if (c.layers.some(({ rope }) => rope === undefined)) yield "some layers have no rotary embedding";
  if (kinds.has("dynamic")) yield "rope_type dynamic, which llama.cpp has not";
  if (kinds.has("longrope") && architecture !== "phi3") yield `rope_type longrope in ${architecture}`;
  if (kinds.has("llama3") && architecture !== "llama") yield `rope_type llama3 in ${architecture}`;
  const rope = fullRope(c);
  const isWhole = (rope?.rotaryDim ?? c.headDim) === c.headDim;
  if (!isWhole && architecture !== "phi3") yield "only a part of each head is rotated";
  if (rope?.scaling?.rope_type === "yarn") yield* yarnObstacles(rope.scaling);
}

function* yarnObstacles(yarn: Extract<RopeScaling, { rope_type: "yarn" }>): Generator<string> {
  const usual = yarn.factor <= 1 ? 1 : 0.1 * Math.log(yarn.factor) + 1;
  if (Math.abs(yarn.attention_factor - usual) > 1e-6) {
    yield `attention_factor is ${yarn.attention_factor}, llama.cpp takes ${usual} for the factor ${yarn.factor}`;
  }
  if (!yarn.truncate) yield "truncate is false, llama.cpp rounds the bounds of YaRN";
}

function warningsFor(architecture: string, c: DecoderConfig): string[] {
  if (architecture !== "phi3" || !slides(c)) return [];
  return [
    `llama.cpp leaves out the sliding window of Phi-3: beyond ${windowOf(c)} tokens it computes something else`,
  ];
}
