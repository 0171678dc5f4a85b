import { append } from "../../util/arrays.ts";
import { failAll } from "../../util/fail.ts";
import { asText, isObject } from "../../util/json.ts";
import { FACTOR, inWords, isWithin } from "../../util/options.ts";
import { shown } from "../../util/shown.ts";
import { pythonJson } from "../json/python-json.ts";
import type { PeftLoraConfig } from "./peft-fields.ts";
import { isMlxConfig, MLX_HELP } from "./peft-foreign.ts";
import { patternProblems } from "./peft-patterns.ts";
import { type Obstacle, obstacles, otherTypeRemedy } from "./peft-variants.ts";

export type { PeftLoraConfig } from "./peft-fields.ts";

/** What a field may hold. */
interface Kind {
  readonly wants: string;
  accepts(value: unknown): boolean;
}

const isText = (value: unknown) => typeof value === "string";
const isLayer = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
const isWhole = (value: unknown) => Number.isSafeInteger(value);
const isTexts = (value: unknown) => Array.isArray(value) && value.every(isText);
const isWholes = (value: unknown) => Array.isArray(value) && value.every(isWhole);
const orNull = ({ wants, accepts }: Kind): Kind => ({
  wants: `${wants} or null`,
  accepts: (value) => value === null || accepts(value),
});

const RANK: Kind = {
  wants: "a whole number of at least 1",
  accepts: (v) => isWhole(v) && (v as number) >= 1,
};
const NUMBER: Kind = { wants: `a number${inWords(FACTOR)}`, accepts: (v) => isWithin(v, FACTOR) };
const PROBABILITY: Kind = {
  wants: "a number of at least 0 and below 1", // 1 drops everything
  accepts: (v) => isWithin(v, { min: 0, below: 1 }),
};
const FLAG: Kind = { wants: "true or false", accepts: (v) => typeof v === "boolean" };
const TEXT: Kind = { wants: "a string", accepts: isText };
const OBJECT: Kind = { wants: "an object", accepts: isObject };
const TEXT_OR_NULL = orNull(TEXT);
const OBJECT_OR_NULL = orNull(OBJECT);
const INIT: Kind = { wants: "true, false or a string", accepts: (v) => typeof v === "boolean" || isText(v) };
const LIST_OR_NULL = orNull({ wants: "a list of strings", accepts: isTexts });
const NAMES = orNull({ wants: "a list of strings, a string", accepts: (v) => isText(v) || isTexts(v) });
const WHOLES = orNull({ wants: "a list of whole numbers", accepts: isWholes });
const LAYERS = orNull({
  wants: "a list of whole numbers ≥ 0, one of them",
  accepts: (v) => isLayer(v) || (Array.isArray(v) && v.every(isLayer)),
});
const TOKENS = orNull({
  wants: "a list of whole numbers, an object",
  accepts: (v) => isObject(v) || isWholes(v),
});
const BLOCKS = orNull({
  wants: "true, false, an object",
  accepts: (v) => typeof v === "boolean" || isObject(v),
});
const RANGES = orNull({
  wants: "a list of [start, end]",
  accepts: (v) => Array.isArray(v) && v.every(isWholes),
});
const TASKS = ["SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"];
const TASK = orNull({
  wants: `one of ${TASKS.join(", ")}`,
  accepts: (v) => TASKS.some((task) => task === v),
});
const LORA: Kind = { wants: '"LORA"', accepts: (v) => v === "LORA" };

/** Of each field: its value in a file that PEFT 0.21.0 saves with no option set, and what it may hold. */
const FIELDS: { readonly [K in keyof PeftLoraConfig]: readonly [PeftLoraConfig[K], Kind] } = {
  alora_invocation_tokens: [null, WHOLES],
  alpha_pattern: [{}, OBJECT],
  arrow_config: [null, OBJECT_OR_NULL],
  auto_mapping: [null, OBJECT_OR_NULL],
  base_model_name_or_path: [null, TEXT_OR_NULL],
  bias: ["none", TEXT],
  corda_config: [null, OBJECT_OR_NULL],
  ensure_weight_tying: [false, FLAG],
  eva_config: [null, OBJECT_OR_NULL],
  exclude_modules: [null, NAMES],
  fan_in_fan_out: [false, FLAG],
  inference_mode: [true, FLAG],
  init_lora_weights: [true, INIT],
  kasa_config: [null, OBJECT_OR_NULL],
  layer_replication: [null, RANGES],
  layers_pattern: [null, NAMES],
  layers_to_transform: [null, LAYERS],
  loftq_config: [{}, OBJECT],
  lora_alpha: [8, NUMBER],
  lora_bias: [false, FLAG],
  lora_dropout: [0, PROBABILITY],
  lora_ga_config: [null, OBJECT_OR_NULL],
  megatron_config: [null, OBJECT_OR_NULL],
  megatron_core: ["megatron.core", TEXT_OR_NULL],
  modules_to_save: [null, LIST_OR_NULL],
  monteclora_config: [null, OBJECT_OR_NULL],
  peft_type: ["LORA", LORA],
  peft_version: ["0.21.0", TEXT_OR_NULL],
  qalora_group_size: [16, NUMBER],
  r: [8, RANK],
  rank_pattern: [{}, OBJECT],
  revision: [null, TEXT_OR_NULL],
  target_modules: [null, NAMES],
  target_parameters: [null, LIST_OR_NULL],
  task_type: [null, TASK],
  trainable_token_indices: [null, TOKENS],
  use_bdlora: [null, BLOCKS],
  use_dora: [false, FLAG],
  use_qalora: [false, FLAG],
  use_rslora: [false, FLAG],
  velora_config: [null, OBJECT_OR_NULL],
};

const NAMES_OF_FIELDS = Object.keys(FIELDS) as (keyof PeftLoraConfig)[];
const DEFAULTS = Object.fromEntries(
  NAMES_OF_FIELDS.map((name) => [name, FIELDS[name][0]]),
) as unknown as PeftLoraConfig;

/** A configuration with the defaults of PEFT 0.21.0; `inference_mode` is true, as in every file that PEFT saves. */
export function peftLoraConfig(overrides: Partial<PeftLoraConfig>): PeftLoraConfig {
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}

/** Fields that Python holds as floats, those of nested configurations included. */
const FLOATS = new Set(["lora_dropout", "rho", "tau"]);

/**
 * The text of `adapter_config.json`, byte for byte as PEFT 0.21 saves it: without a newline at the end, and with
 * `inference_mode` true whatever the configuration says. A whole `lora_alpha` is written as an integer.
 */
export function peftConfigText(config: PeftLoraConfig): string {
  const peft_version = config.peft_version ?? DEFAULTS.peft_version;
  return pythonJson({ ...config, peft_version, inference_mode: true }, (key) => FLOATS.has(key));
}

/** A configuration that was read, and what about it deserves attention but is no error. */
export interface ParsedPeftConfig {
  readonly config: PeftLoraConfig;
  readonly warnings: readonly string[];
}

/**
 * Reads the value of `adapter_config.json`. Missing fields take PEFT's defaults; fields that PEFT 0.21.0 does not
 * know are ignored with a warning, as PEFT does.
 * @param where the file, for messages
 * @throws LoraError that lists every field that is wrong or asks for what is not supported.
 */
export function parsePeftConfig(json: unknown, where: string): ParsedPeftConfig {
  refuseOtherTypes(json, where);
  failAll(where, oversized(json), CORRECT);
  const known = NAMES_OF_FIELDS.filter((name) => Object.hasOwn(json, name));
  const given = Object.fromEntries(known.map((name) => [name, withoutNull(name, json[name])]));
  const config = peftLoraConfig(given);
  const { problems, obstacles } = findings(config);
  const remedies = new Set(obstacles.map(({ remedy }) => remedy));
  if (problems.length > 0) remedies.add(CORRECT);
  failAll(where, [...problems, ...obstacles.map(({ problem }) => problem)], [...remedies]);
  const warnings = Object.keys(json)
    .filter((name) => !Object.hasOwn(FIELDS, name))
    .map(
      (name) =>
        `${where}: the field ${name} (${shown(json[name])}) is unknown to PEFT 0.21.0 and was ignored`,
    );
  return { config, warnings };
}

/** Throws unless the value is a configuration of LoRA: there is no use in looking at the fields of another. */
function refuseOtherTypes(json: unknown, where: string): asserts json is Record<string, unknown> {
  if (!isObject(json)) failAll(where, [`it is ${shown(json)}, expected an object`], NO_CONFIG);
  else if (isMlxConfig(json))
    failAll(where, ["this is the configuration of an mlx-lm adapter, not of PEFT's"], MLX_HELP);
  else if (json.peft_type === undefined) failAll(where, ["peft_type is missing"], NO_CONFIG);
  else if (json.peft_type !== "LORA") {
    const problem = `peft_type is ${shown(json.peft_type)}: only "LORA" is supported`;
    failAll(where, [problem], otherTypeRemedy(asText(json.peft_type) ?? ""));
  }
}

const CORRECT = "correct the fields, or take the file that PEFT's save_pretrained wrote";
const NO_CONFIG = "this is no PEFT adapter configuration; PEFT's save_pretrained writes one";

/** What a list of modules or a pattern may hold; each entry is compared with each layer. */
const MAX_ENTRIES = 2 ** 16;

function oversized(json: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(json).flatMap(([name, value]) => {
    const entries = typeof value === "object" && value !== null ? Object.keys(value).length : 0;
    return entries > MAX_ENTRIES ? [`${name} has ${entries} entries; the limit is ${MAX_ENTRIES}`] : [];
  });
}

/** Older writers leave a flag or an object null: Python takes that for false or empty. */
function withoutNull(name: keyof PeftLoraConfig, value: unknown): unknown {
  const [fallback] = FIELDS[name];
  if (value !== null) return value;
  if (typeof fallback === "boolean") return false;
  return isObject(fallback) ? fallback : null;
}

/** Everything that is wrong with a configuration, or that it asks for and is not supported; one line each. */
export function peftConfigProblems(config: PeftLoraConfig): string[] {
  const { problems, obstacles } = findings(config);
  return [...problems, ...obstacles.map(({ problem }) => problem)];
}

/** What is ill-formed in a configuration, and what it asks for and is not supported. */
function findings(config: PeftLoraConfig): { problems: string[]; obstacles: Obstacle[] } {
  const wrong = NAMES_OF_FIELDS.filter((name) => !FIELDS[name][1].accepts(config[name]));
  const problems = wrong.map(
    (name) => `${name} is ${shown(config[name])}, expected ${FIELDS[name][1].wants}`,
  );
  const right = (name: keyof PeftLoraConfig) => !wrong.includes(name);
  if (right("rank_pattern")) {
    const values = patternProblems("rank_pattern", config.rank_pattern, RANK.accepts, RANK.wants);
    append(problems, values);
  }
  if (right("alpha_pattern")) {
    const values = patternProblems("alpha_pattern", config.alpha_pattern, NUMBER.accepts, NUMBER.wants);
    append(problems, values);
  }
  return { problems: [...problems, ...conflicts(config)], obstacles: obstacles(config, right) };
}

/** Modules of a head, which PEFT trains whole for a task whatever `modules_to_save` names (`peft_model.py`). */
const HEADS: ReadonlyMap<string, readonly string[]> = new Map([
  ["SEQ_CLS", ["classifier", "score"]],
  ["TOKEN_CLS", ["classifier", "score"]],
  ["QUESTION_ANS", ["qa_outputs"]],
]);

/** The names of all modules that are trained whole: those of `modules_to_save`, and the head's; each once. */
export function trainedWhole({ modules_to_save, task_type }: PeftLoraConfig): string[] {
  return [...new Set([...(modules_to_save ?? []), ...(HEADS.get(task_type ?? "") ?? [])])];
}

/** Combinations that PEFT refuses. */
function conflicts({ target_modules, layers_to_transform, layers_pattern }: PeftLoraConfig): string[] {
  const problems = [];
  const isExpression = typeof target_modules === "string";
  if (isExpression && layers_to_transform !== null) {
    problems.push("layers_to_transform cannot go with an expression as target_modules");
  }
  if (isExpression && layers_pattern !== null) {
    problems.push("layers_pattern cannot go with an expression as target_modules");
  }
  if (layers_pattern !== null && layers_pattern.length > 0 && layers_to_transform === null) {
    problems.push("layers_pattern needs layers_to_transform");
  }
  return problems;
}
