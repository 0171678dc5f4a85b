import { LoraError, Problems } from "../util/fail.ts";
import { isObject } from "../util/json.ts";

/** A `config.json` as Hugging Face writes it. */
export type HfConfig = Readonly<Record<string, unknown>>;

/**
 * Fields that change nothing about what a trained model computes: bookkeeping, dropout of the base model (its weights
 * are frozen), special tokens (the tokenizer's business), generation defaults, and implementation choices.
 */
const IRRELEVANT = new RegExp(
  `^(?:${[
    "architectures|model_type|auto_map|(?:torch_)?dtype|transformers_version|_name_or_path|initializer_range|use_bfloat16",
    "_?attn_implementation|_attn_implementation_autoset|_flash_attn_2_enabled|use_cache|cache_implementation|gradient_checkpointing|torchscript|pretraining_tp",
    ".*_pdrop|.*dropout|.*_dropout_prob",
    ".*_token_ids?|(?:.*_)?tokenizer(?:_\\w+)?|prefix|max_sequence_length|model_max_length",
    "id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params",
    "return_dict|use_return_dict|return_dict_in_generate|output_\\w+|chunk_size_feed_forward",
    "do_sample|num_beams|num_beam_groups|num_return_sequences|(?:max|min)_length|length_penalty|diversity_penalty|repetition_penalty",
    "temperature|top_k|top_p|typical_p|early_stopping|no_repeat_ngram_size|encoder_no_repeat_ngram_size|bad_words_ids|suppress_tokens",
    "unsloth_\\w+|transformers\\.js_config|is_llama_config|context_window_size|prefill_chunk_size",
  ].join("|")})$`,
);

/**
 * Reads fields of a `config.json`, checks their types and remembers which were read. Problems are gathered, so that
 * {@link ConfigReader.finish} can report them together; until then a wrong field reads as its fallback.
 */
export class ConfigReader {
  readonly #config: HfConfig;
  readonly #prefix: string;
  readonly #known = new Set<string>();
  readonly #problems: string[];
  readonly #unsupported: string[];

  constructor(
    config: HfConfig,
    prefix = "",
    sinks: { problems: string[]; unsupported: string[] } = { problems: [], unsupported: [] },
  ) {
    this.#config = config;
    this.#prefix = prefix;
    this.#problems = sinks.problems;
    this.#unsupported = sinks.unsupported;
  }

  /** A field that must be a number, unless there is a fallback for its absence. */
  number(name: string, fallback?: number): number {
    const value = this.#read(name) ?? fallback;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    this.#wrong(name, value, "a number");
    return fallback ?? 0;
  }

  /** A field that must be a positive whole number. */
  size(name: string, fallback?: number): number {
    const value = this.number(name, fallback);
    if (Number.isSafeInteger(value) && value > 0) return value;
    const isReported = value === 0 && typeof this.#config[name] !== "number";
    if (!isReported) this.#wrong(name, value, "a positive whole number");
    return 1;
  }

  /** A field that is a number or null, which means none; transformers omits fields that have their class's default. */
  optionalNumber(name: string, absent?: number): number | undefined {
    if (this.has(name)) return this.number(name);
    return name in this.#config ? undefined : absent;
  }

  /** A size of two axes: two positive whole numbers, or one for both. */
  pair(name: string, fallback: number): [number, number] {
    const value = this.#read(name) ?? fallback;
    const both = Array.isArray(value) ? value : [value, value];
    const isSize = (size: unknown) => Number.isInteger(size) && (size as number) > 0;
    if (both.length === 2 && both.every(isSize)) return [both[0], both[1]];
    this.#wrong(name, value, "a positive whole number, or two");
    return [fallback, fallback];
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#read(name) ?? fallback;
    if (typeof value === "boolean") return value;
    this.#wrong(name, value, "true or false");
    return fallback;
  }

  /** One of some names. */
  choice<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const value = this.#read(name) ?? fallback;
    const found = allowed.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    this.#refuse(name, value, `; supported: ${allowed.map((word) => JSON.stringify(word)).join(", ")}`);
    return fallback;
  }

  /** A list of a given length, or undefined where it is null or absent. */
  list<T extends "number" | "string">(
    name: string,
    kind: T,
  ): (T extends "number" ? number : string)[] | undefined {
    const value = this.#read(name) ?? undefined;
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === kind)) return value;
    this.#wrong(name, value, `a list of ${kind}s`);
    return undefined;
  }

  /** An object with the keys 0, 1, 2, … as the list of its texts; undefined where it is null or absent. */
  numberedTexts(name: string): string[] | undefined {
    const value = this.#read(name) ?? undefined;
    if (value === undefined) return undefined;
    const texts = typeof value === "object" ? { ...value } : {};
    const list = Object.keys(texts).map((_, i) => (texts as HfConfig)[i]);
    if (list.length > 0 && list.every((text) => typeof text === "string")) return list;
    this.#wrong(name, value, 'an object like {"0": "no", "1": "yes"}');
    return undefined;
  }

  /** A reader of an object inside this one; of an empty object where it is null or absent. */
  object(name: string): ConfigReader {
    const value = this.#read(name) ?? {};
    const sinks = { problems: this.#problems, unsupported: this.#unsupported };
    if (!isObject(value)) this.#wrong(name, value, "an object");
    return new ConfigReader(isObject(value) ? value : {}, `${this.#prefix}${name}.`, sinks);
  }

  /** Whether a field is there and not null. */
  has(name: string): boolean {
    return (this.#read(name) ?? undefined) !== undefined;
  }

  /** Marks fields as having no effect on this family, whatever they hold. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** Refuses any value but these: a setting that is not implemented is never ignored. */
  only(name: string, allowed: readonly unknown[], fallback: unknown = allowed[0]): void {
    const value = this.#read(name) ?? fallback;
    if (!allowed.includes(value)) this.#refuse(name, value);
  }

  /** Whether a field is there and switches something on. */
  isOn(name: string): boolean {
    return !isOff(this.#read(name) ?? null);
  }

  /** A field's whole name and its value, for messages. */
  at(name: string): [path: string, value: unknown] {
    return [`${this.#prefix}${name}`, this.#read(name)];
  }

  /** Refuses a field that contradicts another, `used`, which is the one that transformers 5.18 reads. */
  differ(name: string, used: string, value: unknown): void {
    const own = shown(this.#read(name));
    this.refuse(name, `is ${own} but ${used}, which transformers 5.18 uses, is ${shown(value)}${DIFFER}`);
  }

  /** Refuses a field's value for a reason of the caller's. */
  refuse(name: string, reason: string): void {
    this.#unsupported.push(`${this.#prefix}${name} ${reason}`);
  }

  /** Refuses what is left: fields that nobody read, that are not known to be irrelevant and that are not off. */
  refuseUnread(): void {
    for (const [name, value] of Object.entries(this.#config)) {
      if (this.#known.has(name) || IRRELEVANT.test(name) || isOff(value)) continue;
      this.#refuse(name, value, UNKNOWN);
    }
  }

  /**
   * Ends the reading.
   * @throws LoraError listing every field that is wrong or not supported
   */
  finish(where: string): void {
    this.refuseUnread();
    const lines = [...this.#problems, ...this.#unsupported];
    if (lines.length === 0) return;
    const kind = this.#unsupported.length === 0 ? "input" : "unsupported";
    const help = kind === "input" ? undefined : helpFor(this.#unsupported);
    throw new LoraError(kind, `config.json of ${where}`, new Problems(lines), help);
  }

  #refuse(name: string, value: unknown, more = ""): void {
    this.#unsupported.push(`${this.#prefix}${name} ${shown(value)} is not supported${more}`);
  }

  #read(name: string): unknown {
    this.#known.add(name);
    return this.#config[name];
  }

  #wrong(name: string, value: unknown, wanted: string): void {
    const got = value === undefined ? "missing" : shown(value);
    this.#problems.push(`${this.#prefix}${name} is ${got}, expected ${wanted}`);
  }
}

/** A value as the file has it: JSON.stringify makes null of NaN and Infinity. */
function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}

/** Ends of messages about fields of which nobody here knows what they mean, and about two that contradict each other. */
const UNKNOWN = "; it is not known here";
const DIFFER = "; which one was meant is not known here";

function helpFor(unsupported: readonly string[]): string {
  if (unsupported.every((line) => line.endsWith(UNKNOWN))) {
    return "a field that is known to change nothing can be deleted from config.json";
  }
  if (unsupported.every((line) => line.endsWith(DIFFER))) {
    return "delete the field that the model was not trained with from config.json";
  }
  return "these settings change what the model computes, so deleting them would give wrong results; take a model without them";
}

/** A field that switches nothing on. */
function isOff(value: unknown): boolean {
  if (value === null || value === false || value === 0 || value === "") return true;
  return typeof value === "object" && Object.keys(value as object).length === 0;
}
