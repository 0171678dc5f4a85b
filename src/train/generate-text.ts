import { type ChatExample, checkChat } from "../data/chat/chat-rows.ts";
import { LATE_CHATS } from "../data/chat/late-chats.ts";
import { templateChooser } from "../data/chat/template-chooser.ts";
import { usesTools } from "../data/rows/examples.ts";
import { encodePrompt } from "../data/tokenize/special-frame.ts";
import { TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import { alienToken, REMEDY } from "../data/tokenize/vocabulary.ts";
import type { DecodeStream, Tokenizer } from "../io/tokenizer/tokenizer.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { freePositions } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import {
  callback,
  checkOptions,
  listOf,
  pickOptions,
  type Rules,
  text,
  withDefaults,
} from "../util/options.ts";
import { Decoding, type OpenText } from "./decoding.ts";
import { openText, TOKEN_RULES, type TokenOptions } from "./generate.ts";
import { StopStrings } from "./stop-strings.ts";
import { TextCache } from "./text-cache.ts";

/** What became of a text. */
export interface GenerationReport {
  /**
   * How it ended: by itself (with a token or text that ends it), at the most tokens that were wanted, with the model's
   * last position, or because nobody wanted more.
   */
  readonly ending: "complete" | "cut" | "full" | "stopped";
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** How many of them were still known from the turn before, in a chat that goes on. */
  readonly keptTokens: number;
  /** Tokens that came, without one that ends the text. */
  readonly newTokens: number;
  /** Milliseconds until the first new token was there; all of them where none came. */
  readonly promptMilliseconds: number;
  /** Milliseconds of the whole. */
  readonly milliseconds: number;
}

/** Options of {@link generate}. */
export interface GenerateOptions extends TokenOptions, Pick<TokenizeOptions, "chatTemplate"> {
  /** The text ends before the first of these; it may be, or hold, a special token such as `<|im_end|>`. */
  stop?: readonly string[];
  /** Told what became of the text, when it ends. */
  onEnd?: (report: GenerationReport) => void;
}

/** What the options have to be. */
export const GENERATE_RULES: Rules<GenerateOptions> = {
  ...TOKEN_RULES,
  stop: listOf(text(), "a list of texts"),
  chatTemplate: TOKENIZE_RULES.chatTemplate,
  onEnd: callback(),
};

/**
 * Continues a text, or answers a chat; yields printable pieces as they come, characters whole. A chat that ends with an
 * answer is continued in it, and an answer ends with the token that the template writes behind one. Sampling that is not given is that of the
 * model's `generation_config.json`, as in transformers: the most likely token where there is none.
 * @throws LoraError as {@link generateTokens} does, for an empty stop string, and where the template refuses the chat
 */
export async function* generate(
  model: Model,
  prompt: string | ChatExample,
  options: GenerateOptions = {},
): AsyncGenerator<string> {
  checkOptions("generate", options, GENERATE_RULES);
  requireModel("generate", model);
  const cache = new TextCache(model);
  try {
    yield* writeText(model, cache, await readPrompt(model, prompt, options.chatTemplate), options);
  } finally {
    cache.release();
  }
}

/** A prompt as tokens. */
export interface PromptTokens {
  readonly ids: readonly number[];
  /** Tokens that end what is generated, beside the model's own. */
  readonly endings: readonly number[];
}

/**
 * The tokens of a text, or of a chat up to where the assistant is to write.
 * @throws LoraError where the template refuses the chat
 */
export async function readPrompt(
  model: Model,
  prompt: string | ChatExample,
  choice: string | undefined,
): Promise<PromptTokens> {
  const tokenizer = requireTokenizer(model);
  if (typeof prompt === "string") return { ids: encodePrompt(tokenizer, prompt), endings: [] };
  const chat = checkChat("generate", prompt);
  const { endOfTurnToken, renderPrompt } = await LATE_CHATS.load();
  const template = templateChooser(model, tokenizer, choice)(usesTools(chat));
  const ending = endOfTurnToken(template, tokenizer);
  return {
    ids: tokenizer.encode(renderPrompt(chat, template), { addSpecialTokens: false }),
    endings: ending === undefined ? [] : [ending.id],
  };
}

/** Writes a text piece by piece, with a cache that may hold the beginning of it. */
export async function* writeText(
  model: Model,
  cache: TextCache,
  prompt: PromptTokens,
  options: GenerateOptions,
): AsyncGenerator<string> {
  const writing = new WrittenText(model, prompt, options);
  const { text } = writing;
  const decoding = new Decoding(cache);
  let isFailed = false;
  try {
    writing.start(cache.begin(text.ids, text.end));
    while (!writing.isOver) {
      const [token = -1] = await decoding.next(model, [text]);
      const piece = writing.next(token);
      if (piece !== "") yield piece;
    }
  } catch (error) {
    isFailed = true;
    throw error;
  } finally {
    decoding.release();
    if (!isFailed) options.onEnd?.(writing.report());
  }
}

/** A text that is written token by token, as its readers see it. */
export class WrittenText {
  readonly text: OpenText;
  readonly #model: Model;
  readonly #tokenizer: Tokenizer;
  readonly #decoder: DecodeStream;
  readonly #stops: StopStrings;
  #keptTokens = 0;
  #startedAt: number | undefined;
  #firstAt: number | undefined;
  #newTokens = 0;
  #ending: GenerationReport["ending"] | undefined;

  /** @throws LoraError for a prompt that the model cannot continue */
  constructor(model: Model, { ids, endings }: PromptTokens, options: Omit<GenerateOptions, "onEnd">) {
    const tokenizer = requireTokenizer(model);
    const rows = model.config.vocabSize;
    const alien = alienToken(ids, { tokenizer, rows });
    if (alien !== undefined) fail("generate", `the prompt ${alien}`, REMEDY);
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#decoder = tokenizer.decodeStream({ after: ids });
    this.#stops = new StopStrings(options.stop ?? []);
    this.text = openText(model, ids, {
      ...withDefaults(model.generation, pickOptions(options, TOKEN_RULES)),
      eosTokenIds: options.eosTokenIds ?? [...tokenizer.stopTokenIds, ...endings].filter((id) => id < rows),
    });
  }

  /** Whether nothing more comes. */
  get isOver(): boolean {
    return this.#ending !== undefined;
  }

  /** Notes when work on the text begins, and how many tokens of the prompt were known then. */
  start(keptTokens = 0): void {
    if (this.#startedAt !== undefined) return;
    this.#startedAt = performance.now();
    this.#keptTokens = keptTokens;
  }

  /** Takes the next token, which the text has behind it unless it is one that ends it; returns what can be shown now. */
  next(token: number): string {
    const { ids, end } = this.text;
    this.#firstAt ??= performance.now();
    if (this.text.isLast(token)) return this.#finish("complete");
    this.#newTokens++;
    const special = this.#tokenizer.specialToken(token);
    const shown =
      special === undefined ? this.#stops.push(this.#decoder.push(token)) : this.#stops.pushHidden(special);
    if (this.#stops.stopped) this.#ending = "complete";
    else if (ids.length >= end) return shown + this.#finish(this.#isFull ? "full" : "cut");
    return shown;
  }

  report(): GenerationReport {
    const now = performance.now();
    const startedAt = this.#startedAt ?? now;
    return {
      ending: this.#ending ?? "stopped",
      promptTokens: this.text.promptLength,
      keptTokens: this.#keptTokens,
      newTokens: this.#newTokens,
      promptMilliseconds: (this.#firstAt ?? now) - startedAt,
      milliseconds: now - startedAt,
    };
  }

  get #isFull(): boolean {
    return this.text.ids.length >= freePositions(this.#model);
  }

  /** The rest of a text for which no token comes any more. */
  #finish(ending: "complete" | "cut" | "full"): string {
    const rest = this.#stops.push(this.#decoder.flush());
    const isCutByStop = this.#stops.stopped;
    this.#ending = isCutByStop ? "complete" : ending;
    return rest + this.#stops.flush();
  }
}
