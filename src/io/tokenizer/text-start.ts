import { makePreTokenizer } from "./pipeline/pre-tokenizers.ts";
import type { ModelJson } from "./schema/models.ts";
import type { NormalizerJson } from "./schema/normalizers.ts";
import type { PreTokenizerJson } from "./schema/pre-tokenizers.ts";
import type { TokenizerJson } from "./schema/schema.ts";

/** A text is cut before a space between two of these letters. */
const CUT = /[a-z] [a-z]/;
/** What a token has that goes over such a place; a space is written as it is, as `▁` or, in bytes, as `Ġ`. */
const CROSSING = /[a-z][ ▁Ġ]/;

/** Characters for a token, to begin with, and the least that is worth a cut. */
const CHARACTERS_PER_TOKEN = 8;
const SHORTEST_CUT = 4096;

/**
 * Makes a function that encodes a text, or of a long one a part, where the first `count` ids of that are certain to be those that the whole
 * begins with.
 */
export function startEncoder<Encoded extends { readonly ids: ArrayLike<number> }>(
  json: TokenizerJson,
  encode: (text: string) => Encoded,
): (text: string, count: number) => Encoded {
  // Found out when a long text comes.
  let canCut: boolean | undefined;
  return (text, count) => {
    for (let size = SHORTEST_CUT + CHARACTERS_PER_TOKEN * count; 2 * size < text.length; size *= 4) {
      canCut ??= cutsAtSpaces(json);
      const end = canCut ? nextCut(text, size) : undefined;
      if (end === undefined) break;
      const encoded = encode(text.slice(0, end));
      // As many ids at most as an empty text has stand behind a text.
      if (encoded.ids.length - encode("").ids.length >= count) return encoded;
    }
    return encode(text);
  };
}

function nextCut(text: string, from: number): number | undefined {
  const found = text.slice(from, from + SHORTEST_CUT).search(CUT);
  return found < 0 ? undefined : from + found + 1;
}

/**
 * Whether no token goes over a space between two small letters, and nothing before such a space depends on what
 * follows it: then the tokens of both sides are the tokens of the whole.
 */
export function cutsAtSpaces({ added_tokens, normalizer, pre_tokenizer, model }: TokenizerJson): boolean {
  return (
    added_tokens.every(({ content }) => !CROSSING.test(content)) &&
    (normalizer === null || normalizesApart(normalizer)) &&
    (pre_tokenizer === null || splitsApart(pre_tokenizer)) &&
    tokenizesApart(model, pre_tokenizer)
  );
}

function normalizesApart(json: NormalizerJson): boolean {
  if (json.type === "Sequence") return json.normalizers.every(normalizesApart);
  if (json.type !== "Replace") return true;
  const { String: text, Regex: expression } = json.pattern;
  return text === undefined ? expression === " {2,}" : !/[a-z]/.test(text);
}

/** Texts that an expression must part before each space. */
const PROBES = ["ab cd ef", "1ab cd", "it's ab c d", "\n\nab cd", "(ab cd) ef", "Ab cD ef gh"];

function splitsApart(json: PreTokenizerJson): boolean {
  if (json.type === "Sequence") return json.pretokenizers.every(splitsApart);
  if (json.type === "FixedLength" || json.type === "UnicodeScripts") return false;
  if (json.type === "CharDelimiterSplit") return !/[a-z]/.test(json.delimiter);
  if (json.type !== "Split") return true;
  const { String: text, Regex: expression = "" } = json.pattern;
  if (text !== undefined) return !/[a-z]/.test(text);
  // Of what looks around, only a known piece cannot see over a space between letters.
  if (/\(\?<?[=!]|[$^]|\\[bBAzZG]/.test(expression.replaceAll("(?!\\S)", "").replaceAll("[^", "[")))
    return false;
  const { split } = makePreTokenizer(json, "pre_tokenizer");
  return PROBES.every((text) =>
    split({ text, atStart: true }).every((piece) => !/[a-z] [a-z]/.test(piece.text)),
  );
}

function tokenizesApart(model: ModelJson, preTokenizer: PreTokenizerJson | null): boolean {
  const isApart = (tokens: readonly string[]) =>
    // A space that is a token of its own is never joined with unknown text before it.
    tokens.every((token) => !CROSSING.test(token)) && tokens.some((token) => /^[ ▁Ġ]$/.test(token));
  switch (model.type) {
    case "BPE": {
      const { dropout, continuing_subword_prefix, end_of_word_suffix, ignore_merges, vocab } = model;
      if (dropout || continuing_subword_prefix || end_of_word_suffix) return false;
      return (!ignore_merges || preTokenizer !== null) && isApart(Object.keys(vocab));
    }
    case "Unigram":
      return isApart(model.vocab.map(([token]) => token));
    default:
      // A word is one token or unknown as a whole.
      return preTokenizer !== null && splitsAtSpaces(preTokenizer);
  }
}

function splitsAtSpaces(json: PreTokenizerJson): boolean {
  if (json.type === "Sequence") return json.pretokenizers.some(splitsAtSpaces);
  return ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"].includes(json.type);
}
