import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, integer, listOf, number, type Rules, required } from "../../util/options.ts";
import type { Random } from "../../util/random.ts";
import { labelIndex, type TaggedWords, type TextWithLabel } from "../rows/labelled.ts";
import { IGNORE_INDEX, type LabelledTokens } from "../sequence.ts";
import { type EncodedPair, pairEncoder, type WholeText } from "./encode-pair.ts";
import { specialFrame } from "./special-frame.ts";

/** Turns texts into tokens of at most `maxLength`, framed by the tokenizer's special tokens. */
export interface TextEncoder {
  /** Ids of a text, cut so that the last special token stays. */
  encode(text: string): number[];
  /** Ids of two texts with the special tokens around and between them; the longer one is cut first. */
  encodePair(first: string, second: string): EncodedPair;
  /** The same for words that stand apart: also, for each id, which word it is of; −1 for special tokens. */
  encodeWords(words: readonly string[]): { ids: number[]; wordOf: number[] };
}

/** Says of texts what is kept of them and what is cut off. */
export interface WholeEncoder extends TextEncoder {
  whole(text: string): WholeText;
  wholePair(first: string, second: string): EncodedPair & { readonly whole: WholeText };
  wholeWords(words: readonly string[]): { ids: number[]; wordOf: number[]; whole: WholeText };
}

/** A text of more characters is not tokenised to its end. */
const CHARACTERS_COUNTED = 2 ** 16;

/** @throws LoraError where the special tokens alone fill `maxLength` */
export function textEncoder(tokenizer: Tokenizer, maxLength: number): TextEncoder {
  return wholeEncoder(tokenizer, maxLength);
}

/** @throws LoraError where the special tokens alone fill `maxLength` */
export function wholeEncoder(tokenizer: Tokenizer, maxLength: number): WholeEncoder {
  const { before, after } = specialFrame(tokenizer);
  const room = maxLength - before.length - after.length;
  if (room < 1) {
    fail(
      "max_length",
      `${maxLength} leaves no room beside the special tokens`,
      `give ${maxLength + 1 - room} or more`,
    );
  }
  const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  // Byte-level vocabularies have words with and without the space before; WordPiece knows no spaces.
  const gap = String(plain(" a")) === String(plain("a")) ? "" : " ";
  let pairs: ReturnType<typeof pairEncoder> | undefined; // few tasks have pairs, and their frame is longer
  const wholePair = (first: string, second: string) => {
    pairs ??= pairEncoder(tokenizer, maxLength);
    return pairs(first, second);
  };
  const wholeWords = (words: readonly string[]) => {
    const pieces = words.map((word) => plain(gap + word));
    const all = pieces.flat();
    const of = pieces.flatMap((piece, word) => piece.map(() => word));
    const outside = (tokens: readonly number[]) => tokens.map(() => -1);
    return {
      ids: [...before, ...all.slice(0, room), ...after],
      wordOf: [...outside(before), ...of.slice(0, room), ...outside(after)],
      whole: {
        ids: [...before, ...all, ...after],
        cuts: [[before.length + Math.min(room, all.length), before.length + all.length]] as const,
      },
    };
  };
  return {
    whole(text) {
      const isLonger = text.length > Math.max(CHARACTERS_COUNTED, 64 * maxLength);
      const ids = isLonger
        ? [...tokenizer.encodeStart(text, maxLength + 1), ...after]
        : tokenizer.encode(text);
      if (ids.length <= maxLength) return { ids, cuts: [] };
      return { ids, cuts: [[maxLength - after.length, ids.length - after.length]], isLonger };
    },
    wholePair,
    wholeWords,
    encode(text) {
      const ids = tokenizer.encodeStart(text, maxLength + 1);
      return ids.length > maxLength ? [...ids.slice(0, maxLength - after.length), ...after] : ids;
    },
    encodePair(first, second) {
      const { ids, segments } = wholePair(first, second);
      return { ids, segments };
    },
    encodeWords(words) {
      const { ids, wordOf } = wholeWords(words);
      return { ids, wordOf };
    },
  };
}

/** Texts, or pairs of them, as tokens, with the index of their class. */
export function encodeLabelledTexts(
  rows: readonly TextWithLabel[],
  encoder: TextEncoder,
  labels: readonly string[],
): { inputIds: readonly number[]; segments?: readonly number[]; label: number }[] {
  const index = labelIndex(labels);
  return rows.map(({ text, textPair, label }) => {
    if (textPair === undefined) return labelledItem({ ids: encoder.encode(text) }, index(label));
    return labelledItem(encoder.encodePair(text, textPair), index(label));
  });
}

/** A text, or a pair, with the index of its class. */
export function labelledItem(
  { ids, segments }: { readonly ids: readonly number[]; readonly segments?: readonly number[] },
  label: number,
) {
  return { inputIds: ids, ...(segments && { segments }), label };
}

/**
 * Words as tokens, whose labels are the class of the word for its first token, and ignored for the others: what
 * transformers' examples do.
 */
export function encodeTaggedWords(
  rows: readonly TaggedWords[],
  encoder: TextEncoder,
  labels: readonly string[],
): LabelledTokens[] {
  const index = labelIndex(labels);
  return rows.map(({ words, tags }) => {
    const { ids, wordOf } = encoder.encodeWords(words);
    return taggedItem(ids, tagFinder(wordOf, tags), index);
  });
}

/** The tag of each token that is the first of its word, by its place. */
export function tagFinder(wordOf: readonly number[], tags: readonly string[]) {
  const isFirst = (i: number) => (wordOf[i] as number) >= 0 && wordOf[i] !== wordOf[i - 1];
  return (i: number): string | undefined => (isFirst(i) ? tags[wordOf[i] as number] : undefined);
}

/** Tokens with the index of the class of each that has a tag. */
export function taggedItem(
  ids: readonly number[],
  tagOf: (i: number) => string | undefined,
  index: (label: string) => number,
): LabelledTokens {
  const label = (tag: string | undefined) => (tag === undefined ? IGNORE_INDEX : index(tag));
  return { inputIds: ids, labels: ids.map((_, i) => label(tagOf(i))) };
}

/** Options of {@link tokenMasker}. */
export interface MaskOptions {
  /** Stands for a hidden token. */
  maskTokenId: number;
  /** A token is replaced by one of so many. */
  vocabSize: number;
  /** Tokens that are never hidden: those around the text. */
  special: readonly number[];
  /** Share of the tokens that are to be predicted; 0.15 unless given. */
  probability?: number;
}

const ID = integer({ min: 0 });

const MASK_RULES: Rules<MaskOptions> = {
  maskTokenId: required(ID),
  vocabSize: required(integer({ min: 1 })),
  special: required(listOf(ID, "a list of ids")),
  probability: number({ min: 0, max: 1 }, "mlm_probability", "mlmProbability"),
};

/**
 * Hides tokens for a masked language model: of those chosen 80 % become the mask, 10 % any token, 10 % stay. At least
 * one is chosen, so that no text is without a loss. Devlin et al. 2018, arXiv 1810.04805, appendix A.1.
 */
export function tokenMasker(options: MaskOptions) {
  checkOptions("tokenMasker", options, MASK_RULES);
  const { maskTokenId, vocabSize, special, probability = 0.15 } = options;
  const spared = new Set(special);
  return ({ inputIds }: Pick<LabelledTokens, "inputIds">, random: Random): LabelledTokens => {
    const free = inputIds.flatMap((id, i) => (spared.has(id) ? [] : [i]));
    const chosen = new Set(free.filter(() => random.uniform() < probability));
    if (chosen.size === 0 && free.length > 0) {
      chosen.add(free[Math.floor(random.uniform() * free.length)] as number);
    }
    const hidden = (id: number) => {
      const what = random.uniform();
      if (what < 0.8) return maskTokenId;
      return what < 0.9 ? Math.floor(random.uniform() * vocabSize) : id;
    };
    return {
      inputIds: inputIds.map((id, i) => (chosen.has(i) ? hidden(id) : id)),
      labels: inputIds.map((id, i) => (chosen.has(i) ? id : IGNORE_INDEX)),
    };
  };
}
