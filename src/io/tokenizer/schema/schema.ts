import { isObject } from "../../../util/json.ts";
import {
  boolean,
  choice,
  INVALID,
  list,
  nullable,
  object,
  oneOf,
  type Place,
  readShape,
  type Shape,
  type Shaped,
  string,
  withDefault,
} from "../../json/shape.ts";
import { decoder } from "./decoders.ts";
import { u32, usize } from "./fields.ts";
import { type ModelJson, model, vocabularyLookup } from "./models.ts";
import { normalizer } from "./normalizers.ts";
import { postProcessor } from "./post-processors.ts";
import { preTokenizer } from "./pre-tokenizers.ts";

/** A token that is found in the text before all else. */
const addedToken = object({
  id: u32,
  content: string,
  single_word: boolean,
  lstrip: boolean,
  rstrip: boolean,
  normalized: boolean,
  special: boolean,
});

export type AddedTokenJson = Shaped<typeof addedToken>;

const direction = oneOf("Left", "Right");

/** Checked as Rust does and not used: transformers sets both anew for each call. */
const unused = {
  truncation: nullable(
    object({
      direction: withDefault(direction, "Right"),
      max_length: usize,
      strategy: oneOf("LongestFirst", "OnlyFirst", "OnlySecond"),
      stride: usize,
    }),
  ),
  padding: nullable(
    object({
      strategy: (value: unknown, at: Place) =>
        isObject(value) ? choice({ Fixed: usize })(value, at) : oneOf("BatchLongest")(value, at),
      direction,
      pad_to_multiple_of: nullable(usize),
      pad_id: u32,
      pad_type_id: u32,
      pad_token: string,
    }),
  ),
};

const fields = {
  version: withDefault(oneOf("1.0"), "1.0"),
  ...unused,
  added_tokens: withDefault(list(addedToken), []),
  normalizer: nullable(normalizer),
  pre_tokenizer: nullable(preTokenizer),
  post_processor: nullable(postProcessor),
  decoder: nullable(decoder),
  model,
};

/** A checked `tokenizer.json`, with what the file may leave out filled in. */
export type TokenizerJson = Omit<
  Shaped<ReturnType<typeof object<typeof fields>>>,
  "version" | keyof typeof unused
>;

/** What a tokenizer does before and after its model. */
export type TokenizerParts = Pick<TokenizerJson, "normalizer" | "pre_tokenizer" | "decoder">;

const file: Shape<TokenizerJson> = (value, at) => {
  if (!isObject(value)) return at.expected("an object", value);
  checkValues(value, at);
  if (at.problems.length > 0) return INVALID;
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(fields, key))
      at.at(key).invalid(`is not a field of tokenizer.json, which has ${Object.keys(fields).join(", ")}`);
  }
  const read = object(fields)(value, at);
  if (read === INVALID) return INVALID;
  const { version, truncation, padding, ...parts } = read;
  const tokens = usedTokens(parts.added_tokens, parts.model, at.at("added_tokens"));
  return tokens === INVALID ? INVALID : { ...parts, added_tokens: tokens };
};

/**
 * The added tokens that Rust takes: one without content is none. Each has an id that is its own.
 * Rust doesn't read `id`: a token has the id of the vocabulary, or else the next one from the vocabulary's size on, in the file's order; where
 * the file says otherwise nobody can know which was meant.
 */
function usedTokens(
  tokens: readonly AddedTokenJson[],
  model: ModelJson,
  at: Place,
): readonly AddedTokenJson[] | typeof INVALID {
  const before = at.problems.length;
  const known = vocabularyLookup(model);
  const ids = new Map<string, number>();
  let next = Object.keys(model.vocab).length;
  tokens.forEach(({ content, id }, i) => {
    if (content === "") return;
    const place = at.at(i);
    if (ids.has(content)) {
      place.at("content").invalid(`is ${JSON.stringify(content)}, which is added twice`);
      return;
    }
    const given = known(content) ?? next++;
    ids.set(content, given);
    if (id !== given)
      place.at("id").invalid(`is ${id}, but tokenizers gives ${JSON.stringify(content)} the id ${given}`);
  });
  return at.problems.length > before ? INVALID : tokens.filter(({ content }) => content !== "");
}

/** serde_json reads no deeper. */
const DEEPEST = 127;

/** What Rust's JSON reader refuses and JavaScript's takes: half a surrogate pair, 1e999, very deep nesting. */
function checkValues(value: unknown, at: Place, depth = 0): void {
  if (typeof value === "string") checkText(value, at);
  else if (typeof value === "number" && !Number.isFinite(value))
    at.expected("a number that 64 bits hold", value);
  else if (typeof value !== "object" || value === null) return;
  else if (depth === DEEPEST) at.invalid(`is nested deeper than ${DEEPEST} levels`);
  else if (Array.isArray(value))
    value.forEach((item, i) => {
      checkValues(item, at.at(i), depth + 1);
    });
  else
    for (const [key, entry] of Object.entries(value)) {
      checkText(key, at);
      checkValues(entry, at.at(key), depth + 1);
    }
}

function checkText(text: string, at: Place): void {
  if (/\p{Cs}/u.test(text)) at.invalid(`holds half a surrogate pair: ${JSON.stringify(text)}`);
}

/**
 * Checks a parsed `tokenizer.json` as strictly as Rust's `tokenizers` 0.23 does. Fields of components that it doesn't
 * know are left out, as there. Stricter than Rust where reading would be ambiguous: ids and added tokens are each of
 * one token, a `type` agrees with the fields, and a template names tokens that it defines.
 * @throws LoraError that lists every problem with its place
 */
export function readTokenizerSchema(json: unknown): TokenizerJson {
  return readShape(file, json, "tokenizer.json");
}
