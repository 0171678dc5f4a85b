import { isObject } from "../../../util/json.ts";
import {
  boolean,
  INVALID,
  nullable,
  number,
  object,
  type Place,
  pair,
  type Shape,
  type Shaped,
  show,
  string,
  withDefault,
} from "../../json/shape.ts";
import { type ComponentOf, component } from "./component.ts";
import { u32, usize } from "./fields.ts";

/** Token → id. */
export type VocabularyJson = { readonly [token: string]: number };

/** Each id is of one token: Rust takes two, and which of them an id decodes to is left to chance. */
const vocabulary: Shape<VocabularyJson> = (value, at) => {
  if (!isObject(value)) return at.expected("an object of token → id", value);
  const before = at.problems.length;
  const tokens = new Map<unknown, string>();
  for (const [token, id] of Object.entries(value)) {
    const other = tokens.get(id);
    if (u32(id, at.at(token)) === INVALID) continue;
    if (other === undefined) tokens.set(id, token);
    else at.at(token).invalid(`is ${id}, which is the id of ${show(other)} as well`);
  }
  return at.problems.length > before ? INVALID : (value as VocabularyJson);
};

type Merge = readonly [left: string, right: string];

/** `["a", "b"]`, or in files from before tokenizers 0.20 `"a b"`; a first line `#version: 0.2` is skipped. */
const merges: Shape<readonly Merge[]> = (value, at) => {
  if (!Array.isArray(value)) return at.expected("a list of pairs of tokens", value);
  const lines = value.every((merge) => typeof merge === "string");
  const read = value.flatMap((merge, i): (Merge | typeof INVALID)[] => {
    if (!lines) return [mergePair(merge, at.at(i))];
    return merge.startsWith("#version") ? [] : [mergeLine(merge, at.at(i))];
  });
  return read.includes(INVALID) ? INVALID : (read as readonly Merge[]);
};

const mergePair: Shape<Merge> = pair(string, string);

function mergeLine(line: string, at: Place): Merge | typeof INVALID {
  const [left, right, ...more] = line.split(" ");
  if (left !== undefined && right !== undefined && more.length === 0) return [left, right];
  return at.expected("two tokens with one space between them", line);
}

const bpeFields = object({
  dropout: nullable(number(0, 1)),
  unk_token: nullable(string),
  continuing_subword_prefix: nullable(string),
  end_of_word_suffix: nullable(string),
  fuse_unk: nullableFlag,
  byte_fallback: nullableFlag,
  ignore_merges: nullableFlag,
  vocab: vocabulary,
  merges,
});

/** A flag that is off where it is missing or null. */
function nullableFlag(value: unknown, at: Place): boolean | typeof INVALID {
  return nullable(boolean)(value, at) ?? false;
}

const bpe: Shape<Shaped<typeof bpeFields>> = (value, at) => {
  const read = bpeFields(value, at);
  if (read === INVALID) return INVALID;
  const before = at.problems.length;
  const prefix = read.continuing_subword_prefix ?? "";
  read.merges.forEach(([left, right], i) => {
    const whole = left + right.slice(prefix.length);
    const missing = [left, right, whole].find((token) => !Object.hasOwn(read.vocab, token));
    if (missing !== undefined) {
      at.at("merges")
        .at(i)
        .invalid(`is ${show([left, right])}, but the vocabulary has no ${show(missing)}`);
    }
  });
  return at.problems.length > before ? INVALID : read;
};

const unigramFields = object({
  unk_id: nullable(usize),
  byte_fallback: withDefault(boolean, false),
  vocab: unigramVocabulary,
});

/**
 * Tokens with their scores (log probabilities); a token's id is its place. One may be there twice, as Rust's own
 * trainer writes "<unk>" where the texts hold it: the last one counts.
 */
function unigramVocabulary(
  value: unknown,
  at: Place,
): readonly (readonly [token: string, score: number])[] | typeof INVALID {
  if (!Array.isArray(value)) return at.expected("a list of [token, score]", value);
  const before = at.problems.length;
  const entry = pair(string, number());
  value.forEach((item: unknown, id) => {
    entry(item, at.at(id));
  });
  return at.problems.length > before ? INVALID : value;
}

const unigram: Shape<Shaped<typeof unigramFields>> = (value, at) => {
  const read = unigramFields(value, at);
  if (read === INVALID) return INVALID;
  const { unk_id, vocab } = read;
  if (unk_id === null || unk_id < vocab.length) return read;
  return at.at("unk_id").expected(`an id of the vocabulary, which has ${vocab.length} tokens`, unk_id);
};

const COMPONENTS = {
  BPE: bpe,
  WordPiece: object({
    unk_token: string,
    continuing_subword_prefix: string,
    max_input_chars_per_word: usize,
    vocab: vocabulary,
  }),
  WordLevel: object({ unk_token: string, vocab: vocabulary }),
  Unigram: unigram,
};

/** Makes tokens of a piece of text. */
export type ModelJson = ComponentOf<typeof COMPONENTS>;

const typed: Shape<ModelJson> = component(COMPONENTS, {
  untyped: ["BPE", "WordPiece", "WordLevel", "Unigram"],
});

/** A model without a `type` that has merges is BPE also where it is broken; Rust would take some for WordLevel. */
export const model: Shape<ModelJson> = (value, at) => {
  const old = isObject(value) && value.type === undefined && "merges" in value;
  return typed(old ? { ...value, type: "BPE" } : value, at);
};

/** Finds the id of a token's text in a model's vocabulary. */
export function vocabularyLookup(model: ModelJson): (token: string) => number | undefined {
  if (model.type !== "Unigram") {
    const { vocab } = model;
    return (token) => (Object.hasOwn(vocab, token) ? vocab[token] : undefined);
  }
  const ids = new Map(model.vocab.map(([token], id) => [token, id]));
  return (token) => ids.get(token);
}
