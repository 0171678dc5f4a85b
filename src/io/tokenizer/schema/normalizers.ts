import { boolean, list, nullable, object, type Shape } from "../../json/shape.ts";
import { charsmap } from "./charsmap.ts";
import { type ComponentOf, component } from "./component.ts";
import { nothing, replace, text } from "./fields.ts";

const COMPONENTS = {
  BertNormalizer: object({
    clean_text: boolean,
    handle_chinese_chars: boolean,
    // By default as `lowercase`.
    strip_accents: nullable(boolean),
    lowercase: boolean,
  }),
  Strip: object({ strip_left: boolean, strip_right: boolean }),
  StripAccents: nothing,
  NFC: nothing,
  NFD: nothing,
  NFKC: nothing,
  NFKD: nothing,
  Lowercase: nothing,
  Nmt: nothing,
  Precompiled: object({ precompiled_charsmap: charsmap }),
  Replace: replace,
  Prepend: object({ prepend: text }),
  ByteLevel: nothing,
};

/** Changes a text before it is split. */
export type NormalizerJson =
  | ComponentOf<typeof COMPONENTS>
  | { readonly type: "Sequence"; readonly normalizers: readonly NormalizerJson[] };

export const normalizer: Shape<NormalizerJson> = component(
  { ...COMPONENTS, Sequence: object({ normalizers: list((value, at) => normalizer(value, at)) }) },
  { untyped: ["BertNormalizer", "Strip", "Sequence", "Replace", "Prepend"] },
);
