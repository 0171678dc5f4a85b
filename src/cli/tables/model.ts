// Every option is stated once, in the table of its command or in one that tables share (model.ts, data.ts, answer.ts): flags are these
// names in kebab case, configuration keys in snake_case. Names are TRL's and PEFT's, aliases mlx-lm's; defaults are the library's.

import { TRAINING_TASKS } from "../../data/task-names.ts";
import { OFFLOAD, type Offloading } from "../../load/offload.ts";
import { QUANTIZATIONS } from "../../load/quantization.ts";
import { type LayerReplication, REPLICATION_WANTED, replicationOf } from "../../nn/replicate.ts";
import { TRAINER_DEFAULTS } from "../../train/trainer-options.ts";
import { choice, flag, integer, optionalText, readBy, text, texts } from "../options.ts";

/** Which model. */
export const MODEL_OPTIONS = {
  model: text({
    placeholder: "ref",
    help: "folder, URL or hub id owner/name[@revision] of the model; or a GGUF file, on the hub owner/name:FILE.gguf or owner/name:Q4_K_M",
    aliases: ["model_name_or_path"],
  }),
  revision: optionalText({
    placeholder: "name",
    help: "branch, tag or commit of a hub repository",
    aliases: ["model_revision"],
  }),
  token: optionalText({
    placeholder: "token",
    help: "access token of the hub; by default that of HF_TOKEN, else of hf auth login",
  }),
  verify: flag({
    fallback: false,
    help: "check every byte of the model and the adapter against the hub's digests, also what was checked before",
  }),
};

/** How its frozen matrices are held. */
export const BASE_OPTIONS = {
  quantization: choice({
    choices: QUANTIZATIONS,
    fallback: undefined,
    help: "hold the frozen linear layers in fewer bits, quantised while they are loaded",
    aliases: ["bnb_4bit_quant_type"],
  }),
  quantization_block: integer({
    fallback: undefined,
    min: 4,
    help: "values that share a scale, a multiple of 4; by default 64, of mxfp4 32, of 8 bits 128",
    aliases: ["group_size", "q_group_size"],
  }),
  double_quantization: flag({
    fallback: false,
    help: "nf4 and fp4: hold the scales in 8 bits, too, for less memory and slower products",
    aliases: ["bnb_4bit_use_double_quant", "use_bnb_nested_quant"],
  }),
  skip_modules: texts({
    placeholder: "name",
    help: "modules that are not quantised, by names on their paths; by default all but linear layers",
    aliases: ["llm_int8_skip_modules"],
  }),
  offload: readBy<Offloading>({
    placeholder: "layers",
    bare: true,
    fallback: false,
    wanted: "a number of layers, or nothing for all",
    read(value) {
      const x = typeof value === "boolean" ? value : (OFFLOAD_WORDS.get(String(value)) ?? Number(value));
      return OFFLOAD.accepts(x) ? (x as Offloading) : undefined;
    },
    help: "keep the matrices of the layers, or of so many of them, in the host's memory: each pass brings them to the device, two layers at a time",
  }),
};

const OFFLOAD_WORDS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["false", false],
]);

/** How its layers are stacked. */
export const LAYER_REPLICATION = readBy<LayerReplication | undefined>({
  placeholder: "ranges",
  wanted: REPLICATION_WANTED,
  fallback: undefined,
  read: (value) => replicationOf(typeof value === "string" ? jsonOf(value) : value),
  help: "stack the model's layers anew, copies sharing their weights and each with LoRA of its own: [[0, 4], [2, 5]] makes 0 1 2 3 2 3 4 of five",
});

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What the model learns. */
export const TASK = choice({
  choices: TRAINING_TASKS,
  fallback: "causal-lm",
  help: "what the model learns",
});

/** The classes of its head. */
export const LABELS = texts({
  placeholder: "name",
  help: "names of the classes, in order; by default those of the adapter, the model or the data",
});

/** What chats are rendered with. */
export const CHAT_TEMPLATE = optionalText({
  placeholder: "file|name",
  help: "what chats are rendered with: a .jinja file, or the name of one of the model's templates",
  aliases: ["chat_template_path"],
});

/** Of all that is random. */
export const SEED = integer({
  fallback: TRAINER_DEFAULTS.seed,
  min: 0,
  help: "the same seed on the same device gives the same result",
});

/** Which adapter. */
export const ADAPTER_PATH = texts({
  placeholder: "ref",
  help: "folder, URL or hub id owner/name[@revision] of a PEFT adapter; several add up, and REF=0.5 takes half of one's change",
  aliases: ["adapter"],
});

/** Which version of it. */
export const ADAPTER_REVISION = optionalText({
  placeholder: "name",
  help: "branch, tag or commit of the adapter, where that is a hub repository",
});
