import { isObject } from "../../../util/json.ts";
import {
  INVALID,
  list,
  literal,
  nullable,
  object,
  oneField,
  type Place,
  readShape,
  type Shape,
  type Shaped,
  string,
  withDefault,
} from "../../json/shape.ts";
import { checkStrict } from "../../json/strict.ts";
import { SAVE_IT } from "../remedy.ts";
import { addedToken, usedTokens } from "./added-tokens.ts";
import { decoder } from "./decoders.ts";
import { u32, usize } from "./fields.ts";
import { model } from "./models.ts";
import { normalizer } from "./normalizers.ts";
import { postProcessor } from "./post-processors.ts";
import { preTokenizer } from "./pre-tokenizers.ts";

const direction = literal("Left", "Right");

/** Checked as Rust does and not used: transformers sets both for each call. */
const unused = {
  truncation: nullable(
    object({
      direction: withDefault(direction, "Right"),
      max_length: usize,
      strategy: literal("LongestFirst", "OnlyFirst", "OnlySecond"),
      stride: usize,
    }),
  ),
  padding: nullable(
    object({
      strategy: (value: unknown, at: Place) =>
        isObject(value) ? oneField({ Fixed: usize })(value, at) : literal("BatchLongest")(value, at),
      direction,
      pad_to_multiple_of: nullable(usize),
      pad_id: u32,
      pad_type_id: u32,
      pad_token: string,
    }),
  ),
};

const fields = {
  version: withDefault(literal("1.0"), "1.0"),
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
  checkStrict(value, at);
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
 * Checks a parsed `tokenizer.json` as strictly as Rust's `tokenizers` 0.23 does. Fields of components that it doesn't
 * know are left out, as there. Stricter than Rust where reading would be ambiguous: ids and added tokens are each of
 * one token, a `type` agrees with the fields, and a template names tokens that it defines.
 * @throws LoraError that lists every problem with its place
 */
export function readTokenizerSchema(json: unknown): TokenizerJson {
  return readShape(file, json, "tokenizer.json", SAVE_IT);
}
