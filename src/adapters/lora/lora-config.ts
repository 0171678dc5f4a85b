import { isReplication, REPLICATION_WANTED } from "../../nn/replicate.ts";
import { append } from "../../util/arrays.ts";
import { isObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import {
  COUNT,
  commonFields,
  type FieldTable,
  FLAG,
  isWholes,
  type Kind,
  LAYER_FIELDS,
  LIST_OR_NULL,
  layerConflicts,
  NUMBER,
  OBJECT,
  OBJECT_OR_NULL,
  type Obstacle,
  orNull,
  type PeftConfig,
  PROBABILITY,
  TARGET_FIELDS,
  TEXT,
  TEXT_OR_NULL,
} from "../config-fields.ts";
import { patternProblems } from "../sites/patterns.ts";
import type { PeftLoraConfig } from "./lora-fields.ts";
import { obstacles } from "./lora-variants.ts";

const INIT: Kind = {
  wants: "true, false or a string",
  accepts: (v) => typeof v === "boolean" || typeof v === "string",
};
const WHOLES = orNull({ wants: "a list of whole numbers", accepts: isWholes });
const TOKENS = orNull({
  wants: "a list of whole numbers, an object",
  accepts: (v) => isObject(v) || isWholes(v),
});
const BLOCKS = orNull({
  wants: "true, false, an object",
  accepts: (v) => typeof v === "boolean" || isObject(v),
});
const RANGES = orNull({
  wants: REPLICATION_WANTED,
  accepts: (v) => isReplication(v) || (Array.isArray(v) && v.length === 0),
});

/** Of each field: its value in a file that PEFT 0.21.0 saves with no option set, and what it may hold. */
export const LORA_FIELDS: FieldTable<PeftLoraConfig> = {
  ...(commonFields("LORA") as FieldTable<Pick<PeftLoraConfig, keyof PeftConfig>>),
  ...TARGET_FIELDS,
  ...LAYER_FIELDS,
  alora_invocation_tokens: [null, WHOLES],
  alpha_pattern: [{}, OBJECT],
  arrow_config: [null, OBJECT_OR_NULL],
  bias: ["none", TEXT],
  corda_config: [null, OBJECT_OR_NULL],
  ensure_weight_tying: [false, FLAG],
  eva_config: [null, OBJECT_OR_NULL],
  fan_in_fan_out: [false, FLAG],
  init_lora_weights: [true, INIT],
  kasa_config: [null, OBJECT_OR_NULL],
  layer_replication: [null, RANGES],
  loftq_config: [{}, OBJECT],
  lora_alpha: [8, NUMBER],
  lora_bias: [false, FLAG],
  lora_dropout: [0, PROBABILITY],
  lora_ga_config: [null, OBJECT_OR_NULL],
  megatron_config: [null, OBJECT_OR_NULL],
  megatron_core: ["megatron.core", TEXT_OR_NULL],
  monteclora_config: [null, OBJECT_OR_NULL],
  qalora_group_size: [16, NUMBER],
  r: [8, COUNT],
  rank_pattern: [{}, OBJECT],
  target_parameters: [null, LIST_OR_NULL],
  trainable_token_indices: [null, TOKENS],
  use_bdlora: [null, BLOCKS],
  use_dora: [false, FLAG],
  use_qalora: [false, FLAG],
  use_rslora: [false, FLAG],
  velora_config: [null, OBJECT_OR_NULL],
};

/** Fields that Python holds as floats, those of nested configurations included. */
export const LORA_FLOATS: readonly string[] = ["lora_dropout", "rho", "tau"];

/** What is wrong with a configuration beyond its single fields, and what it asks for and is not supported. */
export function loraFindings(
  config: PeftLoraConfig,
  right: (name: keyof PeftLoraConfig) => boolean,
): { problems: string[]; obstacles: Obstacle[] } {
  const problems: string[] = [];
  if (right("rank_pattern")) {
    append(problems, patternProblems("rank_pattern", config.rank_pattern, COUNT.accepts, COUNT.wants));
  }
  if (right("alpha_pattern")) {
    append(problems, patternProblems("alpha_pattern", config.alpha_pattern, NUMBER.accepts, NUMBER.wants));
  }
  if (config.init_lora_weights === "loftq" && right("loftq_config"))
    append(problems, loftqProblems(config.loftq_config));
  return { problems: [...problems, ...layerConflicts(config)], obstacles: obstacles(config, right) };
}

/** What PEFT rounds to, and how often; without either it raises. */
function loftqProblems(config: PeftLoraConfig["loftq_config"]): string[] {
  const { loftq_bits: bits = 4, loftq_iter: times = 1, ...rest } = config;
  const isEmpty = Object.keys(config).length === 0;
  return [
    ...(isEmpty ? ['init_lora_weights is "loftq", and loftq_config is empty: PEFT refuses that, too'] : []),
    ...(bits === 4 || bits === 8 ? [] : [`loftq_config.loftq_bits is ${shown(bits)}, expected 4 or 8`]),
    ...(COUNT.accepts(times) ? [] : [`loftq_config.loftq_iter is ${shown(times)}, expected ${COUNT.wants}`]),
    ...Object.keys(rest).map((name) => `loftq_config.${name} is unknown to PEFT 0.21.0`),
  ];
}
