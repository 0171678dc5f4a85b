/** Token 0 begins a text, ends it and fills batches. */
export const END_OF_TEXT = "<|endoftext|>";

/**
 * Words and single digits, each with the space before it as in GPT-2, and runs of other marks. With spaces as tokens
 * of their own a model of this size needs several times as many steps before it learns to copy words.
 */
const PIECES = " ?\\p{L}+| ?\\p{N}|\\s|[^\\s\\p{L}\\p{N}]+";

/** The files of a trained tokenizer. */
export interface TrainedTokenizer {
  /** `tokenizer.json`, for this package and the Python libraries. */
  readonly tokenizerJson: TokenizerJson;
  /** `tokenizer_config.json`. */
  readonly tokenizerConfig: Record<string, unknown>;
}

/** The parts of `tokenizer.json` that the trainer decides; the rest is fixed. */
export interface TokenizerJson extends Record<string, unknown> {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly string[] } & Record<
    string,
    unknown
  >;
}

/**
 * Trains a byte-level BPE tokenizer: every byte is a token, so any text can be written, and the pairs that
 * occur most often become tokens until there are `vocabSize` of them.
 */
export function trainBpe(texts: Iterable<string>, { vocabSize }: { vocabSize: number }): TrainedTokenizer {
  const alphabet = byteAlphabet();
  const words = countWords(texts, alphabet);
  const merges: string[] = [];
  const tokens = new Set([END_OF_TEXT, ...[...alphabet].sort()]);
  while (tokens.size < vocabSize) {
    const pair = mostFrequentPair(words);
    if (pair === undefined)
      throw new Error(`trainBpe: the texts give only ${tokens.size} of ${vocabSize} tokens`);
    const [left, right] = pair;
    merges.push(`${left} ${right}`);
    tokens.add(left + right);
    for (const word of words) mergePair(word, left, right);
  }
  return { tokenizerJson: tokenizerJson([...tokens], merges), tokenizerConfig: tokenizerConfig() };
}

interface Word {
  symbols: string[];
  readonly count: number;
}

function countWords(texts: Iterable<string>, alphabet: readonly string[]): Word[] {
  const counts = new Map<string, number>();
  const pieces = new RegExp(PIECES, "gu");
  for (const text of texts) {
    for (const [piece] of text.matchAll(pieces)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  }
  const utf8 = new TextEncoder();
  return [...counts].map(([piece, count]) => ({
    symbols: Array.from(utf8.encode(piece), (byte) => alphabet[byte]!),
    count,
  }));
}

/** Ties go to the pair that comes first in code-unit order, so that the same texts give the same tokenizer. */
function mostFrequentPair(words: readonly Word[]): [string, string] | undefined {
  const counts = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let i = 1; i < symbols.length; i++) {
      const pair = `${symbols[i - 1]} ${symbols[i]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | undefined;
  for (const [pair, count] of counts) {
    const lead = best === undefined ? 1 : count - counts.get(best)!;
    if (lead > 0 || (lead === 0 && pair < best!)) best = pair;
  }
  return best?.split(" ") as [string, string] | undefined;
}

function mergePair(word: Word, left: string, right: string): void {
  const { symbols } = word;
  for (let i = 0; i + 1 < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) symbols.splice(i, 2, left + right);
  }
}

/** GPT-2's printable character for each byte: itself where it is printable, else one from 256 on. */
function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

function tokenizerJson(tokens: readonly string[], merges: readonly string[]): TokenizerJson {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const start = { SpecialToken: { id: END_OF_TEXT, type_id: 0 } };
  const sequence = (id: "A" | "B") => ({ Sequence: { id, type_id: id === "A" ? 0 : 1 } });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 0,
        content: END_OF_TEXT,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: PIECES }, behavior: "Isolated", invert: false },
        byteLevel,
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [start, sequence("A")],
      pair: [start, sequence("A"), sequence("B")],
      special_tokens: { [END_OF_TEXT]: { id: END_OF_TEXT, ids: [0], tokens: [END_OF_TEXT] } },
    },
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

function tokenizerConfig(): Record<string, unknown> {
  return {
    bos_token: END_OF_TEXT,
    eos_token: END_OF_TEXT,
    pad_token: END_OF_TEXT,
    clean_up_tokenization_spaces: false,
    model_max_length: 256,
    tokenizer_class: "PreTrainedTokenizerFast",
  };
}
