import { boolean, character, list, object, type Shape } from "../../json/shape.ts";
import { type ComponentOf, component } from "./component.ts";
import { byteLevel, metaspace, nothing, replace, text, usize } from "./fields.ts";

const COMPONENTS = {
  BPEDecoder: object({ suffix: text }),
  ByteLevel: byteLevel,
  WordPiece: object({ prefix: text, cleanup: boolean }),
  Metaspace: metaspace,
  CTC: object({ pad_token: text, word_delimiter_token: text, cleanup: boolean }),
  Replace: replace,
  Fuse: nothing,
  Strip: object({ content: character, start: usize, stop: usize }),
  ByteFallback: nothing,
};

/** Makes text of tokens. */
export type DecoderJson =
  | ComponentOf<typeof COMPONENTS>
  | { readonly type: "Sequence"; readonly decoders: readonly DecoderJson[] };

export const decoder: Shape<DecoderJson> = component(
  { ...COMPONENTS, Sequence: object({ decoders: list((value, at) => decoder(value, at)) }) },
  { untyped: ["BPEDecoder", "WordPiece", "CTC", "Replace", "Strip"], ignoresType: true },
);
