import {
  boolean,
  INVALID,
  list,
  literal,
  object,
  oneField,
  pair,
  record,
  type Shape,
  type Shaped,
  string,
} from "../../json/shape.ts";
import { type ComponentOf, component } from "./component.ts";
import { byteLevel, u32 } from "./fields.ts";

/** A token and its id. */
const token = pair(string, u32);

/** A piece of a template: the first or second text, or a special token by its name in `special_tokens`. */
const piece = oneField({
  Sequence: object({ id: literal("A", "B"), type_id: u32 }),
  SpecialToken: object({ id: string, type_id: u32 }),
});

/** Pieces of a template, and tokens that one of them stands for: published ones have ten. */
const MOST_PIECES = 1000;

function short<T>(item: Shape<T>): Shape<readonly T[]> {
  const read = list(item);
  return (value, at) =>
    Array.isArray(value) && value.length > MOST_PIECES
      ? at.invalid(`has ${value.length} entries; it may have ${MOST_PIECES}`)
      : read(value, at);
}

/** What stands for a special token of a template: mostly the one token of that name. */
const specialToken = object({ id: string, ids: short(u32), tokens: short(string) });

const templateFields = object({
  single: short(piece),
  pair: short(piece),
  special_tokens: record(specialToken),
});

/** Rust finds only when it encodes that a template names a token which it doesn't define. */
const template: Shape<Shaped<typeof templateFields>> = (value, at) => {
  const read = templateFields(value, at);
  if (read === INVALID) return INVALID;
  const before = at.problems.length;
  for (const [key, { ids, tokens }] of Object.entries(read.special_tokens)) {
    if (ids.length !== tokens.length) {
      const counts = `has ${ids.length} ids and ${tokens.length} tokens, expected as many`;
      at.at("special_tokens").at(key).invalid(counts);
    }
  }
  for (const name of ["single", "pair"] as const) {
    read[name].forEach(({ SpecialToken }, i) => {
      if (SpecialToken === undefined || Object.hasOwn(read.special_tokens, SpecialToken.id)) return;
      const names = Object.keys(read.special_tokens);
      const place = at.at(name).at(i).at("SpecialToken").at("id");
      place.expected(
        names.length === 0
          ? "a token of special_tokens, which is empty"
          : `one of special_tokens: ${names.join(", ")}`,
        SpecialToken.id,
      );
    });
  }
  return at.problems.length > before ? INVALID : read;
};

const COMPONENTS = {
  RobertaProcessing: object({ sep: token, cls: token, trim_offsets: boolean, add_prefix_space: boolean }),
  BertProcessing: object({ sep: token, cls: token }),
  ByteLevel: byteLevel,
  TemplateProcessing: template,
};

/** Puts special tokens around one text or two. */
export type PostProcessorJson =
  | ComponentOf<typeof COMPONENTS>
  | { readonly type: "Sequence"; readonly processors: readonly PostProcessorJson[] };

export const postProcessor: Shape<PostProcessorJson> = component(
  { ...COMPONENTS, Sequence: object({ processors: list((value, at) => postProcessor(value, at)) }) },
  { untyped: ["RobertaProcessing", "BertProcessing", "TemplateProcessing"], ignoresType: true },
);
