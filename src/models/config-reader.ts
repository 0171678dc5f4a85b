import { LoraError, Problems } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { type Bounds, inWords, isWithin } from "../util/options.ts";
import { shown } from "../util/shown.ts";

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
    ".*_pdrop|.*dropout|.*_dropout_prob|router_aux_loss_coef",
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

  /** A field that must be a number within bounds, and one of 32 bits, unless there is a fallback for its absence. */
  number(name: string, fallback?: number, bounds: Bounds = {}): number {
    const value = this.#read(name) ?? fallback;
    if (isFloat(value, bounds)) return value;
    this.#wrong(name, value, `a number${inWords(bounds)}${isWithin(value, bounds) ? " of 32 bits" : ""}`);
    return fallback ?? 1;
  }

  /** A number above 0. */
  positive(name: string, fallback?: number): number {
    return this.number(name, fallback, { above: 0 });
  }

  /** A number of at least 0. */
  nonNegative(name: string, fallback?: number): number {
    return this.number(name, fallback, { min: 0 });
  }

  /** A whole number of at least 0. */
  index(name: string, fallback?: number): number {
    return this.#whole(name, fallback, { min: 0, max: MOST });
  }

  /** A positive whole number. */
  size(name: string, fallback?: number, most = MOST): number {
    return this.#whole(name, fallback, { min: 1, max: most });
  }

  /** A number of layers. */
  layers(name: string): number {
    return this.size(name, undefined, MOST_LAYERS);
  }

  /** A number of heads, which share a size among them. */
  heads(name: string, size: number): number {
    const count = this.size(name);
    if (size % count !== 0) this.refuse(name, `${count} does not divide the hidden size ${size}`);
    return count;
  }

  /** `head_dim`. */
  headDim(fallback: number): number {
    return this.size("head_dim", fallback, MOST_HEAD);
  }

  /** A field that may be null, which means none; transformers omits fields that have their class's default. */
  optional(name: string, kind: "positive" | "size", absent?: number): number | undefined {
    if (this.has(name)) return this[kind](name);
    return name in this.#config ? undefined : absent;
  }

  /** A size of two axes: two positive whole numbers, or one for both. */
  pair(name: string, fallback: number): [number, number] {
    const value = this.#read(name) ?? fallback;
    const both = Array.isArray(value) ? value : [value, value];
    if (both.length === 2 && both.every((size) => isWhole(size, { min: 1, max: MOST })))
      return [both[0], both[1]];
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

  /** A list of numbers within bounds, or undefined where it is null or absent. */
  numbers(name: string, bounds: Bounds): number[] | undefined {
    return this.#list(
      name,
      (item): item is number => isFloat(item, bounds),
      `a list of numbers${inWords(bounds)}`,
    );
  }

  /** A list of texts, or undefined where it is null or absent. */
  texts(name: string): string[] | undefined {
    return this.#list(name, (item) => typeof item === "string", "a list of strings");
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

  /** Notes a problem of a field that several fields cause together. */
  reject(name: string, reason: string): void {
    this.#problems.push(`${this.#prefix}${name} ${reason}`);
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
    const help = kind === "input" ? OWN_CONFIG : helpFor(this.#unsupported);
    throw new LoraError(kind, `config.json of ${where}`, new Problems(lines), help);
  }

  #refuse(name: string, value: unknown, more = ""): void {
    this.#unsupported.push(`${this.#prefix}${name} ${shown(value)} is not supported${more}`);
  }

  #whole(name: string, fallback: number | undefined, bounds: Bounds & { min: number; max: number }): number {
    const value = this.#read(name) ?? fallback;
    if (isWhole(value, bounds)) return value;
    const kind = bounds.min > 0 ? "a positive whole number" : "a whole number of at least 0";
    const isLarge = typeof value === "number" && value > bounds.max;
    this.#wrong(name, value, isLarge ? `${kind} of at most ${bounds.max}` : kind);
    return Math.max(1, bounds.min);
  }

  #list<T>(name: string, accepts: (item: unknown) => item is T, wanted: string): T[] | undefined {
    const value = this.#read(name) ?? undefined;
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every(accepts)) return value;
    this.#wrong(name, value, wanted);
    return undefined;
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

const OWN_CONFIG = "take the config.json that belongs to the weights, or correct the fields";

/** The largest whole numbers, numbers of layers and sizes of heads that are taken for meant. */
const MOST = 2 ** 31 - 1;
const MOST_LAYERS = 2000; // the deepest ones that were trained have 1000, and a plan of ten times as many takes seconds
const MOST_HEAD = 2 ** 16;

function isWhole(value: unknown, bounds: Bounds): value is number {
  return Number.isSafeInteger(value) && isWithin(value, bounds);
}

/** Whether a value is a number within bounds that is finite as one of 32 bits, too, which is what the device computes with. */
function isFloat(value: unknown, bounds: Bounds): value is number {
  return isWithin(value, bounds) && Number.isFinite(Math.fround(value as number));
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
