import { LoraError } from "../util/fail.ts";

/** A `config.json` as Hugging Face writes it. */
export type HfConfig = Readonly<Record<string, unknown>>;

/**
 * Fields that change nothing about what a trained model computes: bookkeeping, dropout of the base model (its weights
 * are frozen), special tokens (the tokenizer's business), generation defaults, and implementation choices.
 */
const IRRELEVANT = new RegExp(
  `^(?:${[
    "architectures|model_type|auto_map|(?:torch_)?dtype|transformers_version|_name_or_path|initializer_range|use_bfloat16",
    "_?attn_implementation|_attn_implementation_autoset|use_cache|cache_implementation|gradient_checkpointing|torchscript|pretraining_tp",
    ".*_pdrop|.*dropout|.*_dropout_prob",
    ".*_token_ids?|.*tokenizer(?:_class)?|prefix",
    "id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params",
    "return_dict|use_return_dict|output_\\w+|chunk_size_feed_forward|is_decoder|is_encoder_decoder",
    "do_sample|num_beams|num_beam_groups|num_return_sequences|(?:max|min)_length|length_penalty|diversity_penalty|repetition_penalty",
    "temperature|top_k|top_p|typical_p|early_stopping|no_repeat_ngram_size|encoder_no_repeat_ngram_size|bad_words_ids|suppress_tokens",
    "unsloth_\\w+|transformers\\.js_config",
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

  /** A field that is a number or, where it is null or absent, nothing. */
  optionalNumber(name: string): number | undefined {
    return this.has(name) ? this.number(name) : undefined;
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
    const wanted = `supported: ${allowed.map((word) => JSON.stringify(word)).join(", ")}`;
    this.#unsupported.push(`${this.#prefix}${name} ${JSON.stringify(value)} (${wanted})`);
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

  /** A reader of an object inside this one; of an empty object where it is null or absent. */
  object(name: string): ConfigReader {
    const value = this.#read(name) ?? {};
    const sinks = { problems: this.#problems, unsupported: this.#unsupported };
    const isObject = typeof value === "object" && !Array.isArray(value);
    if (!isObject) this.#wrong(name, value, "an object");
    return new ConfigReader(isObject ? (value as HfConfig) : {}, `${this.#prefix}${name}.`, sinks);
  }

  /** Whether a field is there and not null. */
  has(name: string): boolean {
    return (this.#read(name) ?? undefined) !== undefined;
  }

  /** Names of all fields that are there. */
  get names(): string[] {
    return Object.keys(this.#config);
  }

  /** Marks fields as having no effect on this family, whatever they hold. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** Refuses any value but these: a setting that is not implemented is never ignored. */
  only(name: string, allowed: readonly unknown[], fallback: unknown = allowed[0]): void {
    const value = this.#read(name) ?? fallback;
    if (!allowed.includes(value)) this.#unsupported.push(`${this.#prefix}${name} ${JSON.stringify(value)}`);
  }

  /** Refuses for a reason that no single field's value shows. */
  unsupported(problem: string): void {
    this.#unsupported.push(problem);
  }

  /** Refuses what is left: fields that nobody read, that are not known to be irrelevant and that are not off. */
  refuseUnread(): void {
    for (const [name, value] of Object.entries(this.#config)) {
      if (this.#known.has(name) || IRRELEVANT.test(name) || isOff(value)) continue;
      this.#unsupported.push(`${this.#prefix}${name} ${JSON.stringify(value)}`);
    }
  }

  /**
   * Ends the reading.
   * @throws LoraError listing every field that is wrong or not supported
   */
  finish(where: string): void {
    this.refuseUnread();
    const lines = [...this.#problems, ...this.#unsupported.map((what) => `${what} is not supported`)];
    if (lines.length === 0) return;
    const kind = this.#problems.length > 0 ? "input" : "unsupported";
    const list = lines.map((line) => `\n  - ${line}`).join("");
    const help =
      this.#unsupported.length > 0
        ? "a field that is known to change nothing can be deleted from config.json"
        : undefined;
    throw new LoraError(kind, where, `config.json has ${lines.length} field(s) in the way:${list}`, help);
  }

  #read(name: string): unknown {
    this.#known.add(name);
    return this.#config[name];
  }

  #wrong(name: string, value: unknown, wanted: string): void {
    const got = value === undefined ? "missing" : JSON.stringify(value);
    this.#problems.push(`${this.#prefix}${name} is ${got}, expected ${wanted}`);
  }
}

/** A field that switches nothing on. */
function isOff(value: unknown): boolean {
  if (value === null || value === false || value === 0 || value === "") return true;
  return typeof value === "object" && Object.keys(value as object).length === 0;
}
