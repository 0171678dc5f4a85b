// The sizes that the benchmark takes from published models.

/** The sizes of a transformer that decide what its kernels cost. */
export interface ModelSize {
  readonly name: string;
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly layers: number;
  /** Class in transformers. */
  readonly architecture: string;
}

const architecture = "LlamaForCausalLM";
/** Small enough for any device, and for the tests. */
export const TOY: ModelSize = {
  ...{ name: "toy", architecture, layers: 2, hidden: 64, intermediate: 128, vocab: 512 },
  ...{ heads: 2, kvHeads: 2, headDim: 32 },
};
/** What `bench:peers` trains; larger steps are predicted from it. */
export const SMALL: ModelSize = {
  ...{ name: "D256", architecture, layers: 4, hidden: 256, intermediate: 1024, vocab: 1024 },
  ...{ heads: 4, kvHeads: 4, headDim: 64 },
};

/** From its config.json, as those of the other {@link MODELS}. */
export const SMOLLM2: ModelSize = {
  name: "SmolLM2-135M",
  hidden: 576,
  intermediate: 1536,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  vocab: 49_152,
  layers: 30,
  architecture: "LlamaForCausalLM",
};

/** Published models, small to large. */
export const MODELS: readonly ModelSize[] = [
  SMOLLM2,
  {
    name: "Qwen2.5-0.5B",
    hidden: 896,
    intermediate: 4864,
    heads: 14,
    kvHeads: 2,
    headDim: 64,
    vocab: 151_936,
    layers: 24,
    architecture: "Qwen2ForCausalLM",
  },
  {
    name: "Llama-3.2-1B",
    hidden: 2048,
    intermediate: 8192,
    heads: 32,
    kvHeads: 8,
    headDim: 64,
    vocab: 128_256,
    layers: 16,
    architecture: "LlamaForCausalLM",
  },
];

/** Tokens of a batch. */
export const TOKENS = [128, 512, 2048] as const;

/** Every model with every number of tokens. */
export function modelsAndTokens(): { model: ModelSize; tokens: number }[] {
  return MODELS.flatMap((model) => TOKENS.map((tokens) => ({ model, tokens })));
}
