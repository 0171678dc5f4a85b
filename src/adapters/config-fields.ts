import { failAll } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { FACTOR, inWords, isWithin } from "../util/options.ts";
import { shown } from "../util/shown.ts";

/** What a field of `adapter_config.json` may hold. */
export interface Kind {
  /** Completes "expected ". */
  readonly wants: string;
  accepts(value: unknown): boolean;
}

/** Of each field: its value in a file that PEFT 0.21.0 saves with no option set, and what it may hold. */
export type FieldTable<C> = { readonly [K in keyof C]: readonly [fallback: C[K], kind: Kind] };

/** What a value of a field asks for that is not supported, and what can be done instead. */
export interface Obstacle {
  readonly problem: string;
  readonly remedy: string;
}

/** The fields of a type, and what is to be said of their values. */
export interface Fields<C> {
  /** The program that writes them; PEFT 0.21.0 unless given. */
  readonly writer?: string;
  /** All fields of `adapter_config.json` of this type; others are ignored with a warning. */
  readonly fields: FieldTable<C>;
  /**
   * What else is wrong with a configuration, and what it asks for and is not supported.
   * @param right whether a field is well-formed, so that it can be looked at
   */
  findings?(
    config: C,
    right: (name: keyof C) => boolean,
  ): { readonly problems: readonly string[]; readonly obstacles: readonly Obstacle[] };
}

/** The fields that every `peft_type` has, under PEFT's own names. */
export interface PeftConfig {
  auto_mapping: Readonly<Record<string, unknown>> | null;
  base_model_name_or_path: string | null;
  inference_mode: boolean;
  peft_type: string;
  peft_version: string | null;
  revision: string | null;
  task_type: string | null;
}

/** The fields of the types that adapt modules which a configuration chooses. */
export interface TargetConfig extends PeftConfig {
  exclude_modules: readonly string[] | string | null;
  /** Modules that are trained whole. */
  modules_to_save: readonly string[] | null;
  /** Paths or their ends; or a regular expression on the whole path. */
  target_modules: readonly string[] | string | null;
}

/** The fields that choose layers by their number, of the types that have them. */
export interface LayerConfig {
  layers_pattern: readonly string[] | string | null;
  layers_to_transform: readonly number[] | number | null;
}

const isText = (value: unknown) => typeof value === "string";
const isLayer = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
const isTexts = (value: unknown) => Array.isArray(value) && value.every(isText);

/** Whole numbers. */
export const isWholes = (value: unknown): boolean =>
  Array.isArray(value) && value.every((number) => Number.isSafeInteger(number));

/** The same, or nothing. */
export const orNull = ({ wants, accepts }: Kind): Kind => ({
  wants: `${wants} or null`,
  accepts: (value) => value === null || accepts(value),
});

/** One of some texts. */
export const oneText = (texts: readonly string[]): Kind => ({
  wants: texts.length === 1 ? JSON.stringify(texts[0]) : `one of ${texts.join(", ")}`,
  accepts: (value) => texts.some((text) => text === value),
});

export const COUNT: Kind = {
  wants: "a whole number of at least 1",
  accepts: (v) => Number.isSafeInteger(v) && (v as number) >= 1,
};
export const NUMBER: Kind = { wants: `a number${inWords(FACTOR)}`, accepts: (v) => isWithin(v, FACTOR) };
export const PROBABILITY: Kind = {
  wants: "a number of at least 0 and below 1", // 1 drops everything
  accepts: (v) => isWithin(v, { min: 0, below: 1 }),
};
export const FLAG: Kind = { wants: "true or false", accepts: (v) => typeof v === "boolean" };
export const TEXT: Kind = { wants: "a string", accepts: isText };
export const OBJECT: Kind = { wants: "an object", accepts: isObject };
export const TEXT_OR_NULL: Kind = orNull(TEXT);
export const OBJECT_OR_NULL: Kind = orNull(OBJECT);
export const LIST_OR_NULL: Kind = orNull({ wants: "a list of strings", accepts: isTexts });
export const NAMES: Kind = orNull({
  wants: "a list of strings, a string",
  accepts: (v) => isText(v) || isTexts(v),
});
const LAYERS = orNull({
  wants: "a list of whole numbers ≥ 0, one of them",
  accepts: (v) => isLayer(v) || (Array.isArray(v) && v.every(isLayer)),
});
const TASKS = ["SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"];

/** The fields of {@link PeftConfig}; `inference_mode` is true, as in every file that PEFT saves. */
export const commonFields = (type: string): FieldTable<PeftConfig> => ({
  auto_mapping: [null, OBJECT_OR_NULL],
  base_model_name_or_path: [null, TEXT_OR_NULL],
  inference_mode: [true, FLAG],
  peft_type: [type, oneText([type])],
  peft_version: ["0.21.0", TEXT_OR_NULL],
  revision: [null, TEXT_OR_NULL],
  task_type: [null, orNull(oneText(TASKS))],
});

/** Those of {@link TargetConfig} besides. */
export const TARGET_FIELDS: FieldTable<Omit<TargetConfig, keyof PeftConfig>> = {
  exclude_modules: [null, NAMES],
  modules_to_save: [null, LIST_OR_NULL],
  target_modules: [null, NAMES],
};

/** Those of {@link LayerConfig}. */
export const LAYER_FIELDS: FieldTable<LayerConfig> = {
  layers_pattern: [null, NAMES],
  layers_to_transform: [null, LAYERS],
};

/** A configuration with the defaults of PEFT 0.21.0. */
export function configOf<C extends PeftConfig>({ fields }: Fields<C>, given: Partial<C>): C {
  const names = Object.keys(fields) as (keyof C & string)[];
  const values = names.map((name) => [name, given[name] === undefined ? fields[name][0] : given[name]]);
  return Object.fromEntries(values) as C;
}

/** A configuration that was read, and what about it deserves attention but is no error. */
export interface ParsedConfig<C extends PeftConfig = PeftConfig> {
  readonly config: C;
  readonly warnings: readonly string[];
}

const PEFT = "PEFT 0.21.0";

/**
 * Reads the value of `adapter_config.json`. Missing fields take PEFT's defaults; fields that PEFT 0.21.0 does not
 * know are ignored with a warning, as PEFT does.
 * @param where the file, for messages
 * @throws LoraError that lists every field that is wrong or asks for what is not supported.
 */
export function parsePeftConfig<C extends PeftConfig>(
  codec: Fields<C>,
  json: Readonly<Record<string, unknown>>,
  where: string,
): ParsedConfig<C> {
  const { writer = PEFT } = codec;
  const correct = `correct the fields, or take the file that ${writer === PEFT ? "PEFT's save_pretrained" : writer} wrote`;
  failAll(where, oversized(json), correct);
  const names = Object.keys(codec.fields) as (keyof C & string)[];
  const known = names.filter((name) => Object.hasOwn(json, name));
  const given = known.map((name) => [name, withoutNull(codec.fields[name][0], json[name])]);
  const config = configOf(codec, Object.fromEntries(given) as Partial<C>);
  const { problems, obstacles } = findings(codec, config);
  const remedies = new Set(obstacles.map(({ remedy }) => remedy));
  if (problems.length > 0) remedies.add(correct);
  failAll(where, [...problems, ...obstacles.map(({ problem }) => problem)], [...remedies]);
  const warnings = Object.keys(json)
    .filter((name) => !Object.hasOwn(codec.fields, name))
    .map(
      (name) => `${where}: the field ${name} (${shown(json[name])}) is unknown to ${writer} and was ignored`,
    );
  return { config, warnings };
}

/** Everything that is wrong with a configuration, or that it asks for and is not supported; one line each. */
export function configProblems<C extends PeftConfig>(codec: Fields<C>, config: C): string[] {
  const { problems, obstacles } = findings(codec, config);
  return [...problems, ...obstacles.map(({ problem }) => problem)];
}

/** What a list of modules or a pattern may hold; each entry is compared with each layer. */
const MAX_ENTRIES = 2 ** 16;

function oversized(json: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(json).flatMap(([name, value]) => {
    const entries = typeof value === "object" && value !== null ? Object.keys(value).length : 0;
    return entries > MAX_ENTRIES ? [`${name} has ${entries} entries; the limit is ${MAX_ENTRIES}`] : [];
  });
}

/** Older writers leave a flag or an object null: Python takes that for false or empty. */
function withoutNull(fallback: unknown, value: unknown): unknown {
  if (value !== null) return value;
  if (typeof fallback === "boolean") return false;
  return isObject(fallback) ? fallback : null;
}

/** What is ill-formed in a configuration, and what it asks for and is not supported. */
function findings<C extends PeftConfig>(
  { fields, findings: own }: Fields<C>,
  config: C,
): { problems: readonly string[]; obstacles: readonly Obstacle[] } {
  const names = Object.keys(fields) as (keyof C & string)[];
  const wrong = new Set<keyof C>(names.filter((name) => !fields[name][1].accepts(config[name])));
  const illFormed = [...wrong].map((name) => {
    return `${String(name)} is ${shown(config[name])}, expected ${fields[name][1].wants}`;
  });
  const { problems, obstacles } = own?.(config, (name) => !wrong.has(name)) ?? {
    problems: [],
    obstacles: [],
  };
  return { problems: [...illFormed, ...problems], obstacles };
}

/** Modules of a head, which PEFT trains whole for a task whatever `modules_to_save` names (`peft_model.py`). */
const HEADS: ReadonlyMap<string, readonly string[]> = new Map([
  ["SEQ_CLS", ["classifier", "score"]],
  ["TOKEN_CLS", ["classifier", "score"]],
  ["QUESTION_ANS", ["qa_outputs"]],
]);

/** The names of all modules that are trained whole: those of `modules_to_save`, and the head's; each once. */
export function trainedWhole(config: PeftConfig & Partial<Pick<TargetConfig, "modules_to_save">>): string[] {
  const { modules_to_save, task_type } = config;
  return [...new Set([...(modules_to_save ?? []), ...(HEADS.get(task_type ?? "") ?? [])])];
}

/** Combinations that PEFT refuses, of the types that choose layers by number. */
export function layerConflicts({
  target_modules,
  layers_to_transform,
  layers_pattern,
}: Pick<TargetConfig, "target_modules"> & LayerConfig): string[] {
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
