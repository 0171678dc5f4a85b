import {
  boolean,
  character,
  INVALID,
  literal,
  nullable,
  object,
  oneField,
  type Shape,
  type Shaped,
  string,
  whole,
  withDefault,
} from "../../json/shape.ts";

/** What several parts of `tokenizer.json` have in common. */

/** Characters of a text that is put into others, and of an expression. */
const LONGEST = 10_000;

/** A text of a component. */
export const text: Shape<string> = (value, at) => {
  const read = string(value, at);
  if (read === INVALID || read.length <= LONGEST) return read;
  return at.invalid(`has ${read.length} characters; a component's text may have ${LONGEST}`);
};

/** Ids are Rust's `u32`. */
export const HIGHEST_ID = 2 ** 32 - 1;

/** Ids of tokens and segments. */
export const u32 = whole(HIGHEST_ID);

/** Rust's `usize`, as far as JavaScript counts. */
export const usize = whole(Number.MAX_SAFE_INTEGER);

/** No fields besides `type`. */
export const nothing = object({});

/** Puts `content` where `pattern` is found: a text as it stands, or a regular expression in Oniguruma's syntax. */
export const pattern = oneField({ String: text, Regex: text });
export const replace = object({ pattern, content: text });

export const byteLevel = object({
  add_prefix_space: boolean,
  trim_offsets: boolean,
  // Missing in files from before tokenizers 0.12.
  use_regex: withDefault(boolean, true),
});

const metaspaceFields = object({
  replacement: character,
  prepend_scheme: withDefault(literal("always", "first", "never"), "always"),
  split: nullable(boolean),
  // Both of files from before tokenizers 0.19.
  add_prefix_space: nullable(boolean),
  str_rep: nullable(string),
});

export interface Metaspace {
  readonly replacement: string;
  readonly prepend_scheme: Exclude<Shaped<typeof metaspaceFields>, typeof INVALID>["prepend_scheme"];
  readonly split: boolean;
}

export const metaspace: Shape<Metaspace> = (value, at) => {
  const read = metaspaceFields(value, at);
  if (read === INVALID) return INVALID;
  const { replacement, prepend_scheme, split, add_prefix_space } = read;
  if (add_prefix_space === false && prepend_scheme !== "never") {
    return at
      .at("prepend_scheme")
      .invalid(`is "${prepend_scheme}", but add_prefix_space is false: expected "never"`);
  }
  return { replacement, prepend_scheme, split: split ?? true };
};
