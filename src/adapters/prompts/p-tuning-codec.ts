import type { Codec, MethodKind } from "../codec.ts";
import { COUNT, type FieldTable, oneText, orNull, type PeftConfig, PROBABILITY } from "../config-fields.ts";
import { ENCODERS, type PTuning, type PTuningOptions, pTuning, storedPTuning } from "./p-tuning.ts";
import {
  COUNT_OPTION,
  PROMPT_TENSORS,
  type PromptConfig,
  promptFields,
  promptMisfits,
  promptObstacles,
  promptSizes,
} from "./prompt-fields.ts";

/** `adapter_config.json` of `peft_type` P_TUNING. */
export interface PTuningConfig extends PromptConfig {
  encoder_dropout: number;
  encoder_hidden_size: number | null;
  encoder_num_layers: number;
  encoder_reparameterization_type: NonNullable<PTuningOptions["encoderReparameterizationType"]>;
}

const FIELDS: FieldTable<PTuningConfig> = {
  ...(promptFields("P_TUNING") as FieldTable<PromptConfig & PeftConfig>),
  encoder_dropout: [0, PROBABILITY],
  encoder_hidden_size: [null, orNull(COUNT)],
  encoder_num_layers: [2, COUNT],
  encoder_reparameterization_type: ["MLP", oneText(ENCODERS)],
};

const codec: Codec<PTuning, PTuningConfig> = {
  ...PROMPT_TENSORS,
  fields: FIELDS,
  floats: ["encoder_dropout"],
  findings: promptObstacles,
  misfits: (model, stored) => promptMisfits("pTuning", model, stored, "embeddings"),
  read: (_, { config }) =>
    storedPTuning({
      numVirtualTokens: config.num_virtual_tokens as number,
      encoderReparameterizationType: config.encoder_reparameterization_type,
      encoderNumLayers: config.encoder_num_layers,
      ...(config.encoder_hidden_size !== null && { encoderHiddenSize: config.encoder_hidden_size }),
    }),
  write({ base, method: { options } }) {
    const sizes = promptSizes("pTuning", base, "embeddings");
    return {
      ...sizes,
      encoder_hidden_size: options.encoderHiddenSize ?? sizes.token_dim,
      encoder_num_layers: options.encoderNumLayers,
      encoder_reparameterization_type: options.encoderReparameterizationType,
      num_transformer_submodules: 1,
      num_virtual_tokens: options.numVirtualTokens,
    };
  },
};

/** P-tuning in the registry. */
export const P_TUNING: MethodKind<PTuning, PTuningConfig> = {
  type: "P_TUNING",
  name: "p_tuning",
  codec,
  options: {
    ...COUNT_OPTION,
    encoder_reparameterization_type: {
      sets: "encoderReparameterizationType",
      value: { is: "choice", choices: ENCODERS },
      fallback: "MLP",
      help: "the network that the vectors come from while they are trained",
    },
    encoder_hidden_size: {
      sets: "encoderHiddenSize",
      value: { is: "whole", min: 1 },
      help: "its width; by default the model's",
    },
    encoder_num_layers: {
      sets: "encoderNumLayers",
      value: { is: "whole", min: 1 },
      fallback: 2,
      help: "layers of an LSTM; an MLP has three",
    },
  },
  make: pTuning,
};
