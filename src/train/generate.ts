import { idsProblem } from "../data/check-items.ts";
import { fromArray, readAndRelease, type Tensor } from "../gpu/tensor.ts";
import { gatherRows } from "../kernels/rows.ts";
import { argmax } from "../kernels/sampling.ts";
import type { LanguageModel } from "../models/model.ts";
import type { KvCache } from "../nn/cache.ts";
import { wholeRows } from "../nn/geometry.ts";
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
 * Continues a prompt, token by token, with a key/value cache.
 * @throws LoraError for options outside their range, an empty prompt, an id outside the vocabulary, a prompt that leaves
 * the model no position, or scores that are no numbers
 */
export async function* generateTokens(
  model: LanguageModel,
  promptIds: readonly number[],
  options: TokenOptions = {},
): AsyncGenerator<number> {
  checkOptions("generate", options, TOKEN_RULES);
  requireModel("generate", model);
  const { maxNewTokens, eosTokenIds = [], seed, ...sampling } = withDefaults(GENERATE_DEFAULTS, options);
  checkPrompt(model, promptIds);
  checkStops(eosTokenIds, model.config.vocabSize);
  const capacity = Math.min(promptIds.length + maxNewTokens, model.config.maxPositions);
  const cache = model.newCache(capacity);
  const random = createRandom(seed);
  const history = [...promptIds];
  try {
    let next: readonly number[] = promptIds;
    while (history.length < capacity) {
      if (model.keepsCache?.(history.length - next.length, history.length) === false) {
        cache.clear();
        next = [...history];
      }
      const token = await nextToken(
        model,
        next,
        cache,
        (logits) => sampleToken(logits, sampling, history, random),
        isGreedy(sampling),
      );
      if (eosTokenIds.includes(token)) return;
      yield token;
      history.push(token);
      next = [token];
    }
  } finally {
    cache.release();
  }
}

function checkPrompt(model: LanguageModel, promptIds: readonly number[]): void {
  const { maxPositions } = model.config;
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

async function nextToken(
  model: LanguageModel,
  ids: readonly number[],
  cache: KvCache,
  choose: (logits: Float32Array) => number,
  greedy: boolean,
): Promise<number> {
  model.device.memory.beginStep();
  const [buffer] = await readAndRelease(model.device, () => {
    const logits = lastLogits(model, ids, cache);
    return [greedy ? argmax(logits) : logits];
  });
  if (!greedy) return choose(new Float32Array(buffer ?? []));
  const [token = -1] = new Int32Array(buffer ?? []);
  return token < 0 ? failScores() : token;
}

/** Logits `[1, V]` after the last of the new tokens; the cache grows by them. */
function lastLogits(model: LanguageModel, ids: readonly number[], cache: KvCache): Tensor {
  const { device, config } = model;
  const input = fromArray(device, Uint32Array.from(ids), [1, ids.length]);
  const geometry = cache.place(wholeRows(1, ids.length));
  const hidden = model.hidden(input, { training: false, seed: 0, cache, geometry });
  cache.extend(geometry);
  const last = fromArray(device, Uint32Array.of(ids.length - 1), [1]);
  const row = ids.length === 1 ? hidden : gatherRows(hidden.reshape([ids.length, config.hiddenSize]), last);
  return model.logits(row.reshape([1, config.hiddenSize]));
}
