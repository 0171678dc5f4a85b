import { boolean, character, list, literal, object, type Shape, withDefault } from "../../json/shape.ts";
import { type ComponentOf, component } from "./component.ts";
import { byteLevel, metaspace, nothing, pattern, usize } from "./fields.ts";

/** What becomes of what a pattern matches. */
const behavior = literal("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous");

const COMPONENTS = {
  BertPreTokenizer: nothing,
  ByteLevel: byteLevel,
  CharDelimiterSplit: object({ delimiter: character }),
  Metaspace: metaspace,
  Whitespace: nothing,
  WhitespaceSplit: nothing,
  Split: object({ pattern, behavior, invert: boolean }),
  Punctuation: object({ behavior: withDefault(behavior, "Isolated") }),
  Digits: object({ individual_digits: boolean }),
  UnicodeScripts: nothing,
  FixedLength: object({ length: withDefault(usize, 5) }),
};

/** Splits a text into the pieces that the model takes one by one. */
export type PreTokenizerJson =
  | ComponentOf<typeof COMPONENTS>
  | { readonly type: "Sequence"; readonly pretokenizers: readonly PreTokenizerJson[] };

export const preTokenizer: Shape<PreTokenizerJson> = component(
  { ...COMPONENTS, Sequence: object({ pretokenizers: list((value, at) => preTokenizer(value, at)) }) },
  { untyped: [] },
);
