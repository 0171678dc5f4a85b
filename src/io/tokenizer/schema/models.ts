import { isObject } from "../../../util/json.ts";
import {
  boolean,
  INVALID,
  nullable,
  numberIn,
  object,
  type Place,
  type Shape,
  type Shaped,
  string,
  withDefault,
} from "../../json/shape.ts";
import { type ComponentOf, component } from "./component.ts";
import { text, usize } from "./fields.ts";
import { checkMerges, merges, scoredVocabulary, vocabulary } from "./vocabulary.ts";

/** A flag that is off where it is missing or null. */
function flag(value: unknown, at: Place): boolean | typeof INVALID {
  return nullable(boolean)(value, at) ?? false;
}

const bpeFields = object({
  /** Probability with which a merge is skipped in training. */
  dropout: nullable(numberIn(0, 1)),
  unk_token: nullable(string),
  continuing_subword_prefix: nullable(text),
  end_of_word_suffix: nullable(text),
  fuse_unk: flag,
  byte_fallback: flag,
  ignore_merges: flag,
  vocab: vocabulary,
  merges,
});

const bpe: Shape<Shaped<typeof bpeFields>> = (value, at) => {
  const read = bpeFields(value, at);
  if (read === INVALID) return INVALID;
  const before = at.problems.length;
  checkMerges(read.merges, read.vocab, read.continuing_subword_prefix ?? "", at.at("merges"));
  return at.problems.length > before ? INVALID : read;
};

const unigramFields = object({
  unk_id: nullable(usize),
  byte_fallback: withDefault(boolean, false),
  vocab: scoredVocabulary,
});

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
    continuing_subword_prefix: text,
    max_input_chars_per_word: usize,
    vocab: vocabulary,
  }),
  WordLevel: object({ unk_token: string, vocab: vocabulary }),
  Unigram: unigram,
};

/** Makes tokens of a piece of text. */
export type ModelJson = ComponentOf<typeof COMPONENTS>;

const named: Shape<ModelJson> = component(COMPONENTS, { untyped: ["WordPiece", "WordLevel"] });

/** What a model without a `type` is; Rust tries one after the other, and takes some broken BPE for WordLevel. */
export const model: Shape<ModelJson> = (value, at) => {
  if (!isObject(value) || value.type !== undefined) return named(value, at);
  if ("merges" in value) return named({ ...value, type: "BPE" }, at);
  if (Array.isArray(value.vocab)) return named({ ...value, type: "Unigram" }, at);
  return named(value, at);
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
