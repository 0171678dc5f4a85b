import { idsProblem } from "../data/check-items.ts";
import { readAndRelease } from "../gpu/tensor.ts";
import { argmax } from "../kernels/sampling.ts";
import { freePositions, type LanguageModel } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, integer, listOf, type Rules, withDefaults } from "../util/options.ts";
import { createRandom } from "../util/random.ts";
import {
  failScores,
  isGreedy,
  SAMPLING_DEFAULTS,
  SAMPLING_RULES,
  type SamplingOptions,
  sampleToken,
} from "./sample.ts";
import { TextCache } from "./text-cache.ts";

/** Options of {@link generateTokens}. */
export interface TokenOptions extends SamplingOptions {
  /** Most tokens that are added; 256 unless given. The model's last position ends the text too. */
  maxNewTokens?: number;
  /** Ends the text; not returned. */
  eosTokenIds?: readonly number[];
  /** The same seed gives the same text. */
  seed?: number;
}

/** What holds where nothing is said, here and on the command line. */
export const GENERATE_DEFAULTS = { maxNewTokens: 256, seed: 0, ...SAMPLING_DEFAULTS };

/** What the options have to be. */
export const TOKEN_RULES: Rules<TokenOptions> = {
  ...SAMPLING_RULES,
  maxNewTokens: integer({ min: 1 }, "max_tokens", "maxTokens"),
  eosTokenIds: listOf(integer({ min: 0 }), "a list of ids", "eos_token_id", "eosTokenId"),
  seed: integer({ min: 0 }),
};

/** A text that is being written. */
export interface OpenText {
  /** The prompt and what came so far. */
  readonly ids: number[];
  /** Tokens of the prompt. */
  readonly promptLength: number;
  /** Tokens at which the text ends. */
  readonly end: number;
  /** Whether the device alone can choose its tokens. */
  readonly isGreedy: boolean;
  /** The next token by the scores `[V]`. */
  choose(scores: Float32Array): number;
  /** Whether a token ends the text. */
  isLast(token: number): boolean;
}

/**
 * Begins a text with a prompt.
 * @throws LoraError for options outside their range, an empty prompt, an id outside the vocabulary, or a prompt that
 * leaves the model no position
 */
export function openText(
  model: LanguageModel,
  promptIds: readonly number[],
  options: TokenOptions = {},
): OpenText {
  checkOptions("generate", options, TOKEN_RULES);
  requireModel("generate", model);
  const { maxNewTokens, eosTokenIds = [], seed, ...sampling } = withDefaults(GENERATE_DEFAULTS, options);
  checkPrompt(model, promptIds);
  checkStops(eosTokenIds, model.config.vocabSize);
  const ids = [...promptIds];
  const random = createRandom(seed);
  return {
    ids,
    promptLength: promptIds.length,
    end: Math.min(promptIds.length + maxNewTokens, freePositions(model)),
    isGreedy: isGreedy(sampling),
    choose: (scores) => sampleToken(scores, sampling, ids, random),
    isLast: (token) => eosTokenIds.includes(token),
  };
}

/**
 * Continues a prompt, token by token, with a key/value cache.
 * @throws LoraError as {@link openText} does, and for scores that are no numbers
 */
export async function* generateTokens(
  model: LanguageModel,
  promptIds: readonly number[],
  options: TokenOptions = {},
): AsyncGenerator<number> {
  const text = openText(model, promptIds, options);
  const cache = new TextCache(model);
  try {
    cache.begin(text.ids, text.end);
    while (text.ids.length < text.end) {
      const [token = -1] = await nextTokens(model, cache, [text]);
      if (text.isLast(token)) return;
      yield token;
    }
  } finally {
    cache.release();
  }
}

/**
 * Reads what is new of the texts of a cache, and chooses the next token of each, which is put behind it unless it ends it.
 * Where that fails the cache forgets everything.
 */
export async function nextTokens(
  model: LanguageModel,
  cache: TextCache,
  texts: readonly OpenText[],
): Promise<number[]> {
  const greedy = texts.every(({ isGreedy }) => isGreedy);
  model.device.memory.beginStep();
  try {
    const [buffer = new ArrayBuffer()] = await readAndRelease(model.device, () => {
      const scores = cache.scores(
        texts.map(({ ids }) => ids),
        model,
      );
      return [greedy ? argmax(scores) : scores];
    });
    const tokens = greedy
      ? [...new Int32Array(buffer)]
      : texts.map((text, i) => text.choose(rowOf(buffer, i, texts)));
    if (tokens.some((token) => token < 0)) failScores();
    for (const [i, token] of tokens.entries()) if (!texts[i]?.isLast(token)) texts[i]?.ids.push(token);
    return tokens;
  } catch (error) {
    cache.release();
    throw error;
  }
}

/** One of the rows of scores `[N, V]`. */
function rowOf(scores: ArrayBuffer, row: number, { length }: readonly unknown[]): Float32Array {
  const bytes = scores.byteLength / length;
  return new Float32Array(scores, row * bytes, bytes / 4);
}

function checkPrompt(model: LanguageModel, promptIds: readonly number[]): void {
  const maxPositions = freePositions(model);
  if (promptIds.length === 0) fail("generate", "the prompt has no tokens", "give at least the BOS token");
  if (promptIds.length >= maxPositions) {
    const got = `the prompt has ${promptIds.length} tokens; the model has ${maxPositions} positions`;
    fail("generate", got, "shorten it: at least one position must be left for the text");
  }
  const problem = idsProblem(promptIds, model.config, "promptIds");
  if (problem !== undefined) fail("generate", `the prompt ${problem}`);
}

function checkStops(ids: readonly number[], vocabSize: number): void {
  const alien = ids.find((id) => id >= vocabSize);
  if (alien === undefined) return;
  fail(
    "generate",
    `eosTokenIds has ${alien}, and the model's embedding ${vocabSize} rows`,
    "no text ends with it",
  );
}
