import type { Codec, MethodKind } from "../codec.ts";
import { COUNT, type FieldTable, FLAG, oneText, orNull, type PeftConfig } from "../config-fields.ts";
import { type PrefixTuning, prefixTuning, storedPrefix } from "./prefix-tuning.ts";
import {
  COUNT_OPTION,
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

/** PEFT saves what its network computes, not the network. */
const PROJECTED = {
  why: "prefix_projection is set: its keys and values came from a network that the file does not hold",
  help: "train a new one with prefixTuning(), or go on from a checkpoint of the run (--resume), which has the network",
};

const codec: Codec<PrefixTuning, PrefixTuningConfig> = {
  ...PROMPT_TENSORS,
  fields: FIELDS,
  floats: [],
  findings: promptObstacles,
  misfits: (model, stored) => promptMisfits("prefixTuning", model, stored, "keys"),
  read(_, { config }) {
    const { num_virtual_tokens, init_weights, prefix_projection, encoder_hidden_size } = config;
    const method = storedPrefix({
      numVirtualTokens: num_virtual_tokens as number,
      ...(init_weights !== null && { initWeights: init_weights }),
      ...(prefix_projection && { prefixProjection: true }),
      ...(prefix_projection && encoder_hidden_size !== null && { encoderHiddenSize: encoder_hidden_size }),
    });
    return prefix_projection ? { ...method, locked: PROJECTED } : method;
  },
  write({ base, method: { options } }) {
    const sizes = promptSizes("prefixTuning", base, "keys");
    return {
      ...sizes,
      encoder_hidden_size: options.encoderHiddenSize ?? sizes.token_dim, // PEFT's own choice
      init_weights: options.initWeights ?? null,
      prefix_projection: options.prefixProjection ?? false,
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
  options: {
    ...COUNT_OPTION,
    init_weights: {
      sets: "initWeights",
      value: { is: "choice", choices: ["zero"] },
      help: "zero: keys and values begin at 0; by default from N(0, 1)",
    },
    prefix_projection: {
      sets: "prefixProjection",
      value: { is: "switch" },
      help: "compute them from trained vectors by a network that is trained with them, and not saved",
    },
    encoder_hidden_size: {
      sets: "encoderHiddenSize",
      value: { is: "whole", min: 1 },
      help: "width of that network; by default that of a layer's keys",
    },
  },
  make: prefixTuning,
};
