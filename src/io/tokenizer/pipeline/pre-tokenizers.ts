import type { PreTokenizerJson } from "../schema/pre-tokenizers.ts";
import { toByteLevel } from "./bytes.ts";
import { type Makers, make, unsupported } from "./component.ts";
import { checkGrowth, totalLength } from "./growth.ts";
import { oniguruma, readPattern } from "./pattern.ts";
import { type Behavior, expression, type Pattern, type Span, splitSpans } from "./spans.ts";
import { asOfUnicode16, tableClass, WHITE_SPACE, WORD } from "./unicode.ts";
import { PUNCTUATION } from "./unicode-tables.ts";

/** A part of a text that is still to be made tokens of. */
export interface Piece {
  readonly text: string;
  /** Whether it begins where the whole text, before it was normalised, began. */
  readonly atStart: boolean;
}

/** Splits text into pieces that no token crosses. */
export interface PreTokenizer {
  split(piece: Piece): Piece[];
  /** True where it looks at `atStart`. */
  readonly needsStart?: boolean;
  /** True where it looks at `atStart` of pieces that another one has split. */
  readonly needsStartOfParts?: boolean;
}

type Json<Name extends PreTokenizerJson["type"]> = Extract<PreTokenizerJson, { readonly type: Name }>;

const PRE_TOKENIZERS: Makers<PreTokenizerJson, PreTokenizer> = {
  BertPreTokenizer: (_, path) =>
    chain([
      [splitter(SPACE, "Removed"), path],
      [splitter(MARK, "Isolated"), path],
    ]),
  ByteLevel: byteLevel,
  CharDelimiterSplit: ({ delimiter }) => splitter((text) => occurrences(text, delimiter), "Removed"),
  Digits: (json) => splitter(NUMBER, json.individual_digits ? "Isolated" : "Contiguous"),
  FixedLength: fixedLength,
  Metaspace: metaspace,
  Punctuation: ({ behavior }) => splitter(MARK, behavior),
  Sequence: (json, path) => chain(flat(json, path)),
  Split: ({ pattern, behavior, invert }, path) => splitter(readPattern(pattern, path), behavior, invert),
  UnicodeScripts: (_, path) =>
    unsupported(path, "UnicodeScripts", "no model on the Hugging Face hub is known to need it"),
  Whitespace: () => splitter((text) => WORDS(asOfUnicode16(text)), "Removed", true),
  WhitespaceSplit: () => splitter(SPACE, "Removed"),
};

/** A pre-tokenizer as its JSON describes it. */
export function makePreTokenizer(json: PreTokenizerJson, path: string): PreTokenizer {
  return make(PRE_TOKENIZERS, json, path);
}

const SPACE = expression(new RegExp(`[${WHITE_SPACE}]`, "gv"));
const MARK = expression(new RegExp(`[${tableClass(PUNCTUATION)}]`, "gv"));
/** Rust's `char::is_numeric`: "½", "²" and "Ⅷ" are, too. */
const NUMBER = expression(/\p{N}/gu);
const WORDS = expression(new RegExp(`[${WORD}]+|[^${WORD}${WHITE_SPACE}]+`, "gv"));

/** Pieces of `length` characters, the last one shorter. */
function fixedLength({ length }: Json<"FixedLength">, path: string): PreTokenizer {
  if (length === 0 || length > 65_535) unsupported(`${path}.length`, `${length}`, "give 1 to 65535");
  return splitter(expression(new RegExp(`[\\s\\S]{1,${length}}`, "gv")), "Isolated");
}

/** Splits at a pattern. */
function splitter(pattern: Pattern, behavior: Behavior, invert = false): PreTokenizer {
  return { split: (piece) => cut(piece, splitSpans(piece.text, pattern, behavior, invert)) };
}

function cut(piece: Piece, spans: readonly Span[]): Piece[] {
  const parts = spans.filter(([start, end]) => start < end);
  return parts.map(([start, end]) => ({
    text: piece.text.slice(start, end),
    atStart: piece.atStart && start === 0,
  }));
}

/** The pre-tokenizers of a sequence and of those in it, with their places. */
function flat(json: PreTokenizerJson, path: string): [PreTokenizer, string][] {
  if (json.type !== "Sequence") return [[makePreTokenizer(json, path), path]];
  return json.pretokenizers.flatMap((part, i) => flat(part, `${path}.pretokenizers[${i}]`));
}

function chain(places: readonly [PreTokenizer, string][]): PreTokenizer {
  const parts = places.map(([part]) => part);
  return {
    split: (piece) =>
      places.reduce(
        (pieces, [part, path]) => {
          const next = pieces.flatMap((each) => part.split(each));
          checkGrowth(piece.text.length, totalLength(textsOf(next)), path);
          return next;
        },
        [piece],
      ),
    needsStart: parts.some(({ needsStart }) => needsStart),
    needsStartOfParts: parts.some(
      ({ needsStart, needsStartOfParts }, i) => needsStartOfParts || (needsStart && i > 0),
    ),
  };
}

function* textsOf(pieces: readonly Piece[]): Generator<string> {
  for (const { text } of pieces) yield text;
}

function occurrences(text: string, part: string): Span[] {
  const found: Span[] = [];
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) {
    found.push([at, at + part.length]);
  }
  return found;
}

/** GPT-2's: words with the space before them, and the white space that no word takes. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function byteLevel({ add_prefix_space, use_regex }: Json<"ByteLevel">, path: string): PreTokenizer {
  const words = use_regex ? splitter(oniguruma(GPT2_PATTERN, path), "Isolated") : undefined;
  return {
    split(piece) {
      const prefix = add_prefix_space && !piece.text.startsWith(" ") ? " " : "";
      const spaced = { ...piece, text: prefix + piece.text };
      const parts = words?.split(spaced) ?? [spaced];
      return parts.map(({ text, atStart }) => ({ text: toByteLevel(text), atStart }));
    },
  };
}

/** SentencePiece's: a space is "▁", and one is put before the text where the scheme says so. */
function metaspace({ replacement, prepend_scheme: scheme, split }: Json<"Metaspace">): PreTokenizer {
  const words = splitter((text) => occurrences(text, replacement), "MergedWithNext");
  return {
    split(piece) {
      const text = piece.text.replaceAll(" ", replacement);
      const wanted = scheme === "always" || (scheme === "first" && piece.atStart);
      const prefixed = wanted && !text.startsWith(replacement) ? replacement + text : text;
      const marked = { ...piece, text: prefixed };
      return split ? words.split(marked) : [marked];
    },
    needsStart: scheme === "first",
  };
}
