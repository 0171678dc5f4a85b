import type { ExpertsConfig } from "../nn/expert-layer.ts";
import { mixtureOfExperts as makeMixture } from "../nn/experts.ts";
import type { ConfigReader } from "./config-reader.ts";
import type { DecoderConfig } from "./decoder.ts";
import { type DecoderFamily, QV } from "./decoder-families.ts";
import { readBiases, readDecoder, slidingLayers, switchedWindow } from "./decoder-reader.ts";

// Decoders whose layers have experts in place of an MLP. Defaults are those of transformers 5.18.

/** Files have the names of the class's first version, transformers 5 its own. */
const MIXTRAL_NAMES = {
  renames: [[/\.block_sparse_moe\./, ".mlp."]],
  fileNames: [[/\.mlp\./, ".block_sparse_moe."]],
} as const;

const COMMON = { defaultTargets: QV, makeMixture };

/** As those of `decoder-families.ts`. */
export const EXPERT_DECODERS: readonly DecoderFamily[] = [
  { ...COMMON, className: "GptOss", modelType: "gpt_oss", read: gptOss },
  { ...COMMON, ...MIXTRAL_NAMES, className: "Mixtral", modelType: "mixtral", read: mixtral },
  { ...COMMON, className: "Qwen3Moe", modelType: "qwen3_moe", read: qwen3Moe },
];

/** gpt-oss' YaRN (Peng et al. 2023, arXiv 2309.00071) where a config describes none. */
const GPT_OSS_ROPE = {
  theta: 150_000,
  scaling: {
    rope_type: "yarn",
    factor: 32,
    beta_fast: 32,
    beta_slow: 1,
    truncate: false,
    attention_factor: 0.1 * Math.log(32) + 1,
    original_max_position_embeddings: 4096,
  },
} as const;

/** OpenAI 2025, arXiv 2508.10925. */
function gptOss(c: ConfigReader): DecoderConfig {
  const sizes = { maxPositions: 131_072, tied: false, numKvHeads: 8, headDim: 64 };
  const base = readDecoder(c, { ...sizes, normEps: 1e-5, ropeDefaults: GPT_OSS_ROPE });
  const bias = c.boolean("attention_bias", true);
  const chosen = readExperts(c, { chosen: 4 });
  c.only("experts_per_token", [chosen]); // an older name, beside the newer one
  c.only("swiglu_limit", [LIMIT]);
  c.ignore("initial_context_length"); // stated again where the rotary embedding is scaled
  const experts = {
    chosen,
    count: c.size("num_local_experts", 128),
    intermediateSize: c.size("intermediate_size"),
    shares: "chosen",
    gate: { activation: "quick_gelu", layout: "pairs", limit: LIMIT },
    bias: true,
    transposed: true,
    routerName: "router",
  } as const;
  const window = c.optional("sliding_window", "size", 128);
  const layers = slidingLayers(c, base.layers, window, (layer) => layer % 2 === 0);
  return {
    ...base,
    qkvBias: bias,
    outputBias: bias,
    sinks: true,
    layers: layers.map((layer) => ({ ...layer, experts })),
  };
}

const HALVES = { layout: "halves", limit: 0 } as const;

/** Jiang et al. 2024, arXiv 2401.04088. */
function mixtral(c: ConfigReader): DecoderConfig {
  const sizes = { maxPositions: 131_072, tied: false, numKvHeads: 8, ropeDefaults: { theta: 1_000_000 } };
  const base = readDecoder(c, { ...sizes, normEps: 1e-5 });
  c.only("router_jitter_noise", [0]); // of training
  const experts: ExpertsConfig = {
    chosen: readExperts(c, { chosen: 2 }),
    count: c.size("num_local_experts", 8),
    intermediateSize: base.intermediateSize,
    shares: "chosen",
    gate: { ...HALVES, activation: base.activation },
    bias: false,
    transposed: false,
    routerName: "gate",
  };
  const window = c.optional("sliding_window", "size") ?? 0;
  return { ...base, layers: base.layers.map((layer) => ({ ...layer, window, experts })) };
}

/** Yang et al. 2025, arXiv 2505.09388. */
function qwen3Moe(c: ConfigReader): DecoderConfig {
  const sizes = { maxPositions: 32_768, tied: false, numKvHeads: 4 };
  const base = { ...readDecoder(c, { ...sizes, normEps: 1e-6 }), ...readBiases(c) };
  const count = c.size("num_experts", c.size("num_local_experts", 128));
  c.only("num_local_experts", [count]); // what transformers 5 calls it
  const experts: ExpertsConfig = {
    chosen: readExperts(c, { chosen: 8 }),
    count,
    intermediateSize: c.size("moe_intermediate_size", 768),
    shares: c.boolean("norm_topk_prob", false) ? "chosen" : "all",
    gate: { ...HALVES, activation: base.activation },
    bias: false,
    transposed: false,
    routerName: "gate",
  };
  const step = c.size("decoder_sparse_step", 1);
  const dense = c.numbers("mlp_only_layers", { min: 0, max: base.layers.length - 1 }) ?? [];
  c.ignore("max_window_layers"); // in published configs, read by no version of the class
  const window = switchedWindow(c, 4096) ?? 0;
  const layers = base.layers.map((layer, i) => {
    const hasExperts = !dense.includes(i) && (i + 1) % step === 0;
    return { ...layer, window, ...(hasExperts && { experts }) };
  });
  return { ...base, qkNorm: "head", layers };
}

/** Where gates and ups of gpt-oss are cut off. */
const LIMIT = 7;

/** `num_experts_per_tok`; what concerns the training of routers alone is let pass, or refused where it is on. */
function readExperts(c: ConfigReader, { chosen }: { chosen: number }): number {
  c.only("output_router_logits", [false]); // of a loss that keeps experts equally busy
  return c.size("num_experts_per_tok", chosen);
}
