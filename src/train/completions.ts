import { inOrder } from "../data/feed/in-order.ts";
import type { ItemSource } from "../data/feed/item-source.ts";
import { IGNORE_INDEX, type Sequence } from "../data/sequence.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, integer } from "../util/options.ts";
import { BATCH_DEFAULTS, continueTokens } from "./generate-batch.ts";
import { type PromptTokens, readPrompt } from "./generate-text.ts";
import { SAMPLING_DEFAULTS } from "./sample.ts";

/** What stands before the last part of a row that is learnt, and that part. */
export interface HeldOutCompletion {
  readonly prompt: PromptTokens;
  /** With the token that ends it, where it has one. */
  readonly wanted: readonly number[];
}

/** Tokens beyond those of the right completion: the same text may come in other tokens. */
const SLACK = 8;

/** The last completion of a row; undefined where nothing stands before it, as in rows of plain text. */
export function completionOf({ inputIds, labels }: Sequence, model: Model): HeldOutCompletion | undefined {
  const last = labels.findLastIndex((label) => label !== IGNORE_INDEX);
  const before = labels.lastIndexOf(IGNORE_INDEX, last);
  if (last < 0 || before < 1) return undefined; // nothing predicts the first token of a text, and it is no prompt
  const end = inputIds[last] as number;
  const isEnding = requireTokenizer(model).specialToken(end) !== undefined;
  const prompt = { ids: inputIds.slice(0, before + 1), endings: isEnding ? [end] : [] };
  return { prompt, wanted: inputIds.slice(before + 1, last + 1) };
}

/** How completions are written: the most likely token each time, whatever the model's own settings are. */
const GREEDY = SAMPLING_DEFAULTS;

/**
 * The share of rows whose completion the model writes as it stands there, by the most likely tokens; spaces around it do not
 * count, nor does what ends it. Rows of a source are read as they are needed.
 * @param options.batchSize texts that are written at a time; 8 unless given
 * @throws LoraError where no row has a prompt and a completion
 */
export async function exactMatch(
  model: Model,
  sequences: readonly Sequence[] | ItemSource<Sequence>,
  options: { readonly batchSize?: number } = {},
): Promise<number> {
  checkOptions("exactMatch", options, { batchSize: integer({ min: 1 }) });
  const { batchSize = BATCH_DEFAULTS.batchSize } = options;
  let [rows, right] = [0, 0];
  for await (const part of inOrder(sequences)) {
    const completions = part.flatMap(({ item }) => completionOf(item, model) ?? []);
    rows += completions.length;
    right += await countRight(model, completions, batchSize);
  }
  if (rows === 0) {
    const help = "give rows of prompt and completion, or chats, or leave exact_match out";
    fail("exact_match", "no row has a prompt before what is learnt", help);
  }
  return right / rows;
}

/** How many completions the model writes as they stand there. */
async function countRight(
  model: Model,
  completions: readonly HeldOutCompletion[],
  batchSize: number,
): Promise<number> {
  const tokenizer = requireTokenizer(model);
  const prompts = completions.map(({ prompt, wanted }) => ({
    ...prompt,
    maxNewTokens: wanted.length + SLACK,
  }));
  const texts = await writeAll(model, prompts, batchSize);
  return completions.filter(({ wanted }, i) => tokenizer.decode(wanted).trim() === texts[i]?.trim()).length;
}

/** Which samples are wanted; see {@link writeSamples}. */
export interface SampleOptions {
  /** Texts to be continued, or answered where the model learns chats. */
  readonly prompts: readonly string[];
  /** The first rows whose prompts come, too. */
  readonly rows: number;
  /** Tokens of each at most. */
  readonly maxNewTokens: number;
  readonly batchSize: number;
}

/**
 * What the model makes of fixed prompts, by the most likely tokens.
 * @param chatTemplate the template that it learns chats with; texts are the user's then
 */
export async function writeSamples(
  model: Model,
  sequences: readonly Sequence[] | ItemSource<Sequence>,
  { prompts, rows, maxNewTokens, batchSize }: SampleOptions,
  chatTemplate?: string,
): Promise<{ prompt: string; text: string }[]> {
  const tokenizer = requireTokenizer(model);
  const given: { shown: string; prompt: PromptTokens }[] = [];
  for (const content of prompts) {
    const chat = { messages: [{ role: "user", content }] };
    const prompt = await readPrompt(model, chatTemplate === undefined ? content : chat, chatTemplate);
    given.push({ shown: content, prompt });
  }
  const held = await firstOf(sequences, rows, (sequence) => completionOf(sequence, model)?.prompt);
  const ofRows = held.map((prompt) => ({ shown: tokenizer.decode(prompt.ids), prompt }));
  const all = [...given, ...ofRows];
  const asked = all.map(({ prompt }) => ({ ...prompt, maxNewTokens }));
  const texts = await writeAll(model, asked, batchSize);
  return all.map(({ shown }, i) => ({ prompt: shown, text: texts[i] ?? "" }));
}

/** The first results that are there. */
async function firstOf<T, R>(
  items: readonly T[] | ItemSource<T>,
  count: number,
  of: (item: T) => R | undefined,
): Promise<R[]> {
  const found: R[] = [];
  for await (const part of inOrder(items)) {
    for (const { item } of part) {
      if (found.length >= count) return found;
      const result = of(item);
      if (result !== undefined) found.push(result);
    }
  }
  return found;
}

/** What the model writes behind prompts, by the most likely tokens. */
async function writeAll(
  model: Model,
  prompts: readonly (PromptTokens & { readonly maxNewTokens: number })[],
  batchSize: number,
): Promise<string[]> {
  const texts = prompts.map(() => "");
  for await (const { index, piece } of continueTokens(model, prompts, { ...GREEDY, batchSize }))
    texts[index] += piece;
  return texts;
}
