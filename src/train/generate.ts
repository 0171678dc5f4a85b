import { idsProblem } from "../data/check-items.ts";
import { freePositions, type LanguageModel } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, integer, listOf, type Rules, withDefaults } from "../util/options.ts";
import { createRandom } from "../util/random.ts";
import { Decoding, type OpenText } from "./decoding.ts";
import { SAMPLING_DEFAULTS, SAMPLING_RULES, type SamplingOptions } from "./sample.ts";
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
  return {
    ids,
    promptLength: promptIds.length,
    end: Math.min(promptIds.length + maxNewTokens, freePositions(model)),
    sampling,
    random: createRandom(seed),
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
  const decoding = new Decoding(cache);
  try {
    cache.begin(text.ids, text.end);
    while (text.ids.length < text.end) {
      const [token = -1] = await decoding.next(model, [text]);
      if (text.isLast(token)) return;
      yield token;
    }
  } finally {
    decoding.release();
    cache.release();
  }
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
