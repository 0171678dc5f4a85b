import type { Codec, MethodKind } from "./codec.ts";
import { COUNT, type FieldTable, FLAG, oneText, orNull, type PeftConfig } from "./config-fields.ts";
import { type PrefixTuning, prefixTuning } from "./prefix-tuning.ts";
import {
  PROMPT_TENSORS,
  type PromptConfig,
  promptFields,
  promptMisfits,
  promptObstacles,
  promptSizes,
} from "./prompt-fields.ts";

/** `adapter_config.json` of `peft_type` PREFIX_TUNING. */
export interface PrefixTuningConfig extends PromptConfig {
  encoder_hidden_size: number | null;
  init_weights: "zero" | null;
  prefix_projection: boolean;
}

const FIELDS: FieldTable<PrefixTuningConfig> = {
  ...(promptFields("PREFIX_TUNING") as FieldTable<PromptConfig & PeftConfig>),
  encoder_hidden_size: [null, orNull(COUNT)],
  init_weights: [null, orNull(oneText(["zero"]))],
  prefix_projection: [false, FLAG],
};

const codec: Codec<PrefixTuning, PrefixTuningConfig> = {
  ...PROMPT_TENSORS,
  fields: FIELDS,
  floats: [],
  findings: promptObstacles,
  misfits: (model, stored) => promptMisfits("prefixTuning", model, stored, "keys"),
  read(_, { config }) {
    const { num_virtual_tokens, init_weights } = config;
    return prefixTuning({
      numVirtualTokens: num_virtual_tokens as number,
      ...(init_weights !== null && { initWeights: init_weights }),
    });
  },
  write({ base, method: { options } }) {
    const sizes = promptSizes("prefixTuning", base, "keys");
    return {
      ...sizes,
      encoder_hidden_size: sizes.token_dim, // PEFT's own choice where it projects nothing
      init_weights: options.initWeights ?? null,
      num_transformer_submodules: 1,
      num_virtual_tokens: options.numVirtualTokens,
    };
  },
};

/** Prefix tuning in the registry. */
export const PREFIX_TUNING: MethodKind<PrefixTuning, PrefixTuningConfig> = {
  type: "PREFIX_TUNING",
  name: "prefix_tuning",
  codec,
};
