import type { NormalizerJson } from "../schema/normalizers.ts";
import { unsupported } from "./component.ts";
import { translateOniguruma, UntranslatedError } from "./oniguruma.ts";
import { quoted } from "./oniguruma-classes.ts";
import { expression, type Pattern } from "./spans.ts";
import { asOfUnicode16 } from "./unicode.ts";

type PatternJson = Extract<NormalizerJson, { readonly type: "Replace" }>["pattern"];

/** The `pattern` of a `Split` or `Replace`: `{ String }`, found as it stands, or `{ Regex }` of Oniguruma. */
export function readPattern({ String: text, Regex: source = "" }: PatternJson, path: string): Pattern {
  if (text !== undefined) return expression(new RegExp([...text].map(quoted).join(""), "gv"));
  return oniguruma(source, path);
}

/** An expression as the Rust library's Oniguruma finds it. */
export function oniguruma(source: string, path: string): Pattern {
  let find: Pattern;
  try {
    find = expression(translateOniguruma(source));
  } catch (error) {
    if (!(error instanceof UntranslatedError)) throw error;
    unsupported(
      path,
      `the expression ${JSON.stringify(source)} (it has ${error.message})`,
      "write it with plain groups, classes and quantifiers that JavaScript has, too",
    );
  }
  return (text) => find(asOfUnicode16(text));
}
