import type { Codec, MethodKind } from "../codec.ts";
import { type FieldTable, OBJECT_OR_NULL, oneText, type PeftConfig, TEXT_OR_NULL } from "../config-fields.ts";
import type { MethodOptions } from "../method-options.ts";
import {
  COUNT_OPTION,
  PROMPT_TENSORS,
  type PromptConfig,
  promptFields,
  promptMisfits,
  promptObstacles,
  promptSizes,
} from "./prompt-fields.ts";
import {
  PROMPT_STARTS,
  type PromptTuning,
  type PromptTuningOptions,
  promptTuning,
  storedPrompt,
} from "./prompt-tuning.ts";

/** `adapter_config.json` of `peft_type` PROMPT_TUNING. */
export interface PromptTuningConfig extends PromptConfig {
  prompt_tuning_init: NonNullable<PromptTuningOptions["promptTuningInit"]>;
  prompt_tuning_init_text: string | null;
  tokenizer_kwargs: Readonly<Record<string, unknown>> | null;
  tokenizer_name_or_path: string | null;
}

const FIELDS: FieldTable<PromptTuningConfig> = {
  ...(promptFields("PROMPT_TUNING") as FieldTable<PromptConfig & PeftConfig>),
  prompt_tuning_init: ["RANDOM", oneText(PROMPT_STARTS)],
  prompt_tuning_init_text: [null, TEXT_OR_NULL],
  tokenizer_kwargs: [null, OBJECT_OR_NULL],
  tokenizer_name_or_path: [null, TEXT_OR_NULL],
};

const codec: Codec<PromptTuning, PromptTuningConfig> = {
  ...PROMPT_TENSORS,
  fields: FIELDS,
  floats: [],
  findings: promptObstacles,
  misfits: (model, stored) => promptMisfits("promptTuning", model, stored, "embeddings"),
  read(_, { config }) {
    const { prompt_tuning_init, prompt_tuning_init_text, tokenizer_name_or_path } = config;
    return storedPrompt({
      numVirtualTokens: config.num_virtual_tokens as number,
      promptTuningInit: prompt_tuning_init,
      ...(prompt_tuning_init_text !== null && { promptTuningInitText: prompt_tuning_init_text }),
      ...(tokenizer_name_or_path !== null && { tokenizerNameOrPath: tokenizer_name_or_path }),
    });
  },
  write({ base, method: { options } }) {
    const { numVirtualTokens, promptTuningInit = "RANDOM", promptTuningInitText = null } = options;
    const {
      tokenizerNameOrPath = promptTuningInit === "TEXT" ? (base.hub?.repo ?? base.name ?? null) : null,
    } = options;
    return {
      ...promptSizes("promptTuning", base, "embeddings"),
      num_transformer_submodules: 1,
      num_virtual_tokens: numVirtualTokens,
      prompt_tuning_init: promptTuningInit,
      prompt_tuning_init_text: promptTuningInitText,
      tokenizer_name_or_path: tokenizerNameOrPath,
    };
  },
};

const OPTIONS: MethodOptions<PromptTuningOptions> = {
  ...COUNT_OPTION,
  prompt_tuning_init: {
    sets: "promptTuningInit",
    value: { is: "choice", choices: PROMPT_STARTS },
    help: "from N(0, 1), from the words of a text, or from words by chance; by default RANDOM",
  },
  prompt_tuning_init_text: {
    sets: "promptTuningInitText",
    value: { is: "text", placeholder: "text" },
    help: "the text, for TEXT: cut or repeated to the number of vectors",
  },
  tokenizer_name_or_path: {
    sets: "tokenizerNameOrPath",
    value: { is: "text", placeholder: "ref" },
    help: "where PEFT finds the tokenizer of the text; by default the model's own place",
  },
};

/** Prompt tuning in the registry. */
export const PROMPT_TUNING: MethodKind<PromptTuning, PromptTuningConfig> = {
  type: "PROMPT_TUNING",
  name: "prompt_tuning",
  codec,
  options: OPTIONS,
  make: promptTuning,
};
