import { fail } from "../../util/fail.ts";
import type { StoredAdapter } from "../codec.ts";
import {
  COUNT,
  commonFields,
  type FieldTable,
  LIST_OR_NULL,
  type Obstacle,
  orNull,
  type PeftConfig,
} from "../config-fields.ts";
import type { Adaptable } from "../method.ts";
import type { MethodOptions } from "../method-options.ts";

/** The fields of all types that put virtual tokens before a text. */
export interface PromptConfig extends PeftConfig {
  modules_to_save: readonly string[] | null;
  num_attention_heads: number | null;
  num_layers: number | null;
  num_transformer_submodules: number | null;
  num_virtual_tokens: number | null;
  token_dim: number | null;
}

const SIZE = orNull(COUNT);

/** Those of {@link PromptConfig}. */
export const promptFields = (type: string): FieldTable<PromptConfig> => ({
  ...commonFields(type),
  modules_to_save: [null, LIST_OR_NULL],
  num_attention_heads: [null, SIZE],
  num_layers: [null, SIZE],
  num_transformer_submodules: [null, SIZE],
  num_virtual_tokens: [null, SIZE],
  token_dim: [null, SIZE],
});

/** What no type of them supports. */
export function promptObstacles(
  { modules_to_save, num_transformer_submodules, num_virtual_tokens }: PromptConfig,
  right: (name: keyof PromptConfig) => boolean,
): { problems: readonly string[]; obstacles: readonly Obstacle[] } {
  const problems = num_virtual_tokens === null ? ["num_virtual_tokens is missing"] : [];
  const obstacles: Obstacle[] = [];
  if (right("modules_to_save") && modules_to_save && modules_to_save.length > 0) {
    obstacles.push({
      problem: "modules_to_save is not supported beside virtual tokens",
      remedy: "train again without modules_to_save, or as LoRA, which has it",
    });
  }
  if (right("num_transformer_submodules") && (num_transformer_submodules ?? 1) !== 1) {
    obstacles.push({
      problem: `num_transformer_submodules is ${num_transformer_submodules}: encoders with decoders are not supported`,
      remedy: "only PEFT itself can run it; or train LoRA on a decoder",
    });
  }
  return { problems, obstacles };
}

/** How many virtual tokens there are, as commands name it. */
export const COUNT_OPTION: MethodOptions<{ numVirtualTokens: unknown }> = {
  num_virtual_tokens: {
    sets: "numVirtualTokens",
    value: { is: "whole", min: 1 },
    required: true,
    help: "how many stand before every text, such as 20",
  },
};

/** Sizes of a decoder, as PEFT's configuration names them. */
export interface PromptSizes {
  /** Of an embedding, or of the keys of a layer. */
  readonly token_dim: number;
  /** Of queries, or of keys. */
  readonly num_attention_heads: number;
  readonly num_layers: number;
}

/**
 * The sizes of a model that its prompts need: of its embeddings, or of its keys and values.
 * @param where the method, for messages
 * @throws LoraError for a model that predicts no next token
 */
export function promptSizes(where: string, model: Adaptable, of: "embeddings" | "keys"): PromptSizes {
  const { task, config } = model;
  if (task !== "causal-lm" || !config) {
    fail(where, `is for models that predict the next token, and this one is for ${task}`, "use lora");
  }
  const { hiddenSize, numLayers: num_layers, numHeads = 1, numKvHeads = numHeads } = config;
  const { headDim = hiddenSize / numHeads } = config;
  if (of === "embeddings") return { token_dim: hiddenSize, num_attention_heads: numHeads, num_layers };
  return { token_dim: headDim * numKvHeads, num_attention_heads: numKvHeads, num_layers };
}

/** In what the configuration and the tensor of a file are not those of this model. */
export function promptMisfits(
  where: string,
  model: Adaptable,
  { config, shared }: StoredAdapter<PromptConfig>,
  of: "embeddings" | "keys",
): readonly Obstacle[] {
  const sizes = promptSizes(where, model, of);
  const remedy = `is this adapter made for ${model.name ?? "this model"}?`;
  const fields = Object.entries(sizes).flatMap(([field, wanted]): Obstacle[] => {
    const got = config[field as keyof PromptSizes];
    if (got === null || got === wanted) return [];
    return [{ problem: `${field} is ${got}, the model's is ${wanted}`, remedy }];
  });
  const columns = of === "keys" ? 2 * sizes.num_layers * sizes.token_dim : sizes.token_dim;
  const wanted = [config.num_virtual_tokens, columns];
  const shape = shared.prompt_embeddings?.shape;
  if (String(shape) === String(wanted)) return fields;
  return [...fields, { problem: `prompt_embeddings is [${shape}], wanted [${wanted}]`, remedy }];
}

/** What all codecs of these types have in common. */
export const PROMPT_TENSORS = {
  tensors: {},
  shared: { prompt_embeddings: "prompt_embeddings" },
  check: () => [],
  misfit: () => "is no place for virtual tokens",
} as const;
