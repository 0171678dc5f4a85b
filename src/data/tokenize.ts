import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, flag, integer, oneOf, type Rules, withDefaults } from "../util/options.ts";
import { type CompletionExample, checkExamples, type Example } from "./examples.ts";
import { specialFrame } from "./special-frame.ts";
import { RowCheck } from "./vocabulary.ts";

/** The label of a position that gives no loss, as in PyTorch and Hugging Face. */
export const IGNORE_INDEX = -100;

/** Tokens with a label each: of position i itself, or {@link IGNORE_INDEX}. For masked texts and classified tokens. */
export interface LabelledTokens {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}

/**
 * Tokens that are predicted from those before them. `labels[i]` is `inputIds[i]` where it is to be predicted (from
 * position i − 1) and {@link IGNORE_INDEX} elsewhere. Nothing predicts the first token: `labels[0]` is ignored.
 */
export type Sequence = LabelledTokens;

/** What became of the rows; to be printed before the first step. */
export interface TokenizeReport {
  /** Rows that were given. */
  rows: number;
  /** Rows cut to `maxLength`. */
  truncated: number;
  /** Rows left out because they are longer than `maxLength`. */
  dropped: number;
  /** Rows left out because no label remains, mostly a prompt that fills `maxLength`. */
  droppedNoLabels: number;
  /** Rows left out because their `text` is empty. */
  droppedEmpty: number;
  /** Tokens of the longest row before any cut. */
  longest: number;
  /** Whether a row was so long that its tokens were not counted to the end: the longest then has more. */
  longestIsLeast: boolean;
  /** Tokens that are kept. */
  tokens: number;
  /** Kept tokens that give a loss. */
  labelTokens: number;
}

/** Options of {@link tokenizeExamples}. */
export interface TokenizeOptions {
  /** Tokens a sequence has at most. */
  maxLength: number;
  /** What to do with a longer row: keep its start, or leave it out. */
  truncation?: "truncate" | "drop";
  /** Learn the completion only. */
  maskPrompt?: boolean;
  /** End every row with the EOS token, and learn it: without it a model never stops. */
  appendEos?: boolean;
}

/** What holds where nothing is said, here and on the command line; a length where rows are for a certain model. */
export const TOKENIZE_DEFAULTS: Required<TokenizeOptions> = {
  maxLength: 1024, // as in TRL
  truncation: "truncate",
  maskPrompt: true,
  appendEos: true,
};

/** What the options have to be. */
export const TOKENIZE_RULES: Rules<TokenizeOptions> = {
  maxLength: integer({ min: 2 }, "max_seq_length", "maxSeqLength"),
  truncation: oneOf(["truncate", "drop"]),
  maskPrompt: flag("completion_only_loss", "completionOnlyLoss"),
  appendEos: flag("add_eos_token"),
};

/** Tokens a row has at most where nothing is said: 1024, or what the model takes. */
export function defaultMaxLength(positions: number): number {
  return Math.min(TOKENIZE_DEFAULTS.maxLength, positions);
}

/**
 * Tokenises examples and decides which tokens give a loss.
 * Rows with an empty `text` (data sets like WikiText are full of them) and rows without any label
 * are left out and counted.
 * @returns also the place of each sequence's row, from 0
 * @param embeddingRows rows of the model's embedding: a text with a token beyond them is refused
 * @throws LoraError if nothing remains, or naming the rows that hold a token which the embedding lacks
 */
export function tokenizeExamples(
  examples: readonly Example[],
  tokenizer: Tokenizer,
  options: TokenizeOptions,
  embeddingRows = Number.POSITIVE_INFINITY,
): { sequences: Sequence[]; places: number[]; report: TokenizeReport } {
  checkOptions("tokenizeExamples", options, TOKENIZE_RULES);
  checkExamples("tokenizeExamples", examples);
  if (examples.length === 0) fail("tokenizeExamples", "there are no rows", "give one or more");
  const { maxLength, truncation, maskPrompt, appendEos } = withDefaults(TOKENIZE_DEFAULTS, options);
  const encoder = exampleEncoder(tokenizer, appendEos, maxLength);
  const sequences: Sequence[] = [];
  const places: number[] = [];
  const report = emptyReport(examples.length);
  const check = new RowCheck({ tokenizer, rows: embeddingRows });
  for (const [i, example] of examples.entries()) {
    if ("text" in example && example.text === "") {
      report.droppedEmpty++;
      continue;
    }
    const { ids, promptLength, isCut } = encoder(example);
    report.longestIsLeast ||= isCut;
    report.longest = Math.max(report.longest, ids.length);
    if (ids.length > maxLength && truncation === "drop") {
      report.dropped++;
      continue;
    }
    if (ids.length > maxLength) report.truncated++;
    const kept = ids.slice(0, maxLength);
    check.add(i + 1, kept);
    const sequence = sequenceOf(kept, maskPrompt ? promptLength : 0);
    if (!count(sequence, report)) continue;
    sequences.push(sequence);
    places.push(i);
  }
  check.finish("tokenizeExamples");
  if (sequences.length === 0)
    fail("tokenizeExamples", nothingLeft(report), "raise maxLength, or look at the rows");
  return { sequences, places, report };
}

function emptyReport(rows: number): TokenizeReport {
  return {
    rows,
    truncated: 0,
    dropped: 0,
    droppedNoLabels: 0,
    droppedEmpty: 0,
    longest: 0,
    longestIsLeast: false,
    tokens: 0,
    labelTokens: 0,
  };
}

function nothingLeft({ rows, dropped, droppedNoLabels, droppedEmpty, longest }: TokenizeReport): string {
  return (
    `none of the ${rows} rows is left: ${dropped} too long, ${droppedNoLabels} without labels, ` +
    `${droppedEmpty} empty; the longest has ${longest} tokens`
  );
}

function sequenceOf(inputIds: readonly number[], masked: number): Sequence {
  const first = Math.max(1, masked);
  return { inputIds, labels: inputIds.map((id, i) => (i < first ? IGNORE_INDEX : id)) };
}

/** Counts a sequence. @returns whether it has a label, and so a use */
function count(sequence: Sequence, report: TokenizeReport): boolean {
  // Masking goes by position: an EOS that is also the padding token is a label like any other.
  const labelTokens = sequence.labels.filter((label) => label !== IGNORE_INDEX).length;
  if (labelTokens === 0) {
    report.droppedNoLabels++;
    return false;
  }
  report.tokens += sequence.inputIds.length;
  report.labelTokens += labelTokens;
  return true;
}

interface EncodedExample {
  ids: number[];
  /** How many of them are the prompt's. */
  promptLength: number;
  /** Whether these are the first ids only, one more than are kept. */
  isCut: boolean;
}

/** Texts of so many characters, and of so many for each token that is kept, are not counted to the end. */
const CHARACTERS_COUNTED = 2 ** 16;
const CHARACTERS_COUNTED_PER_TOKEN = 64;

function exampleEncoder(
  tokenizer: Tokenizer,
  appendEos: boolean,
  maxLength: number,
): (example: Example) => EncodedExample {
  const { eosTokenId } = tokenizer;
  if (appendEos && eosTokenId === undefined) {
    fail("tokenizeExamples", "the tokenizer names no EOS token", "give it one, or pass appendEos: false");
  }
  const { before, after } = specialFrame(tokenizer);
  const end = (ids: number[]) => (appendEos && ids.at(-1) !== eosTokenId ? [...ids, eosTokenId!] : ids);
  return (example) => {
    if ("text" in example) {
      const { text } = example;
      const isLong = text.length > Math.max(CHARACTERS_COUNTED, CHARACTERS_COUNTED_PER_TOKEN * maxLength);
      const ids = isLong ? tokenizer.encodeStart(text, maxLength + 1) : tokenizer.encode(text);
      return { ids: end(ids), promptLength: 0, isCut: isLong && ids.length > maxLength };
    }
    const { prompt, completion } = encodeCompletion(example, tokenizer);
    const promptIds = [...before, ...prompt];
    return {
      ids: end([...promptIds, ...completion, ...after]),
      promptLength: promptIds.length,
      isCut: false,
    };
  };
}

/**
 * The ids of prompt and completion. In use the model is given exactly the prompt's ids (`encodePrompt`), so these come first,
 * whatever follows. If `encode(prompt + completion)` begins with them, its rest is the natural way to write the
 * completion. If it does not, because a merge crosses the seam (a prompt that ends in a space, mostly), the
 * completion is encoded on its own; TRL keeps the merged ids then and shifts the mask by a token.
 */
function encodeCompletion(
  { prompt, completion }: CompletionExample,
  tokenizer: Tokenizer,
): { prompt: number[]; completion: number[] } {
  const promptIds = tokenizer.encode(prompt, { addSpecialTokens: false });
  const wholeIds = tokenizer.encode(prompt + completion, { addSpecialTokens: false });
  const rest = without(promptIds, wholeIds);
  return { prompt: promptIds, completion: rest ?? encodeInside(completion, tokenizer) };
}

/**
 * Encodes a text from the middle of another. SentencePiece tokenizers put a "▁" before every text they
 * are given, which would be a space nobody wrote: the text is encoded after a letter, whose ids are cut off.
 */
function encodeInside(text: string, tokenizer: Tokenizer): number[] {
  // Several, since the letter must not merge with the text.
  for (const letter of ["\n", "|", ":", "a"]) {
    const letterIds = tokenizer.encode(letter, { addSpecialTokens: false });
    const rest = without(letterIds, tokenizer.encode(letter + text, { addSpecialTokens: false }));
    if (rest !== undefined) return rest;
  }
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** `ids` after its first part `prefix`; `undefined` if it does not begin so. */
function without(prefix: readonly number[], ids: readonly number[]): number[] | undefined {
  return prefix.every((id, i) => ids[i] === id) ? ids.slice(prefix.length) : undefined;
}
