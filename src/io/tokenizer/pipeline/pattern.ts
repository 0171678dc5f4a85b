import { ExpressionError } from "../../../util/regexp/expression.ts";
import { finder } from "../../../util/regexp/finder.ts";
import type { NormalizerJson } from "../schema/normalizers.ts";
import { unsupported } from "./component.ts";
import { readOniguruma, UntranslatedError } from "./oniguruma.ts";
import { quoted } from "./oniguruma-classes.ts";
import { expression, type Pattern, spansOf } from "./spans.ts";
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
    find = spansOf(finder(readOniguruma(source)));
  } catch (error) {
    if (!(error instanceof UntranslatedError || error instanceof ExpressionError)) throw error;
    unsupported(
      path,
      `the expression ${JSON.stringify(source)} (it has ${error.message})`,
      "write it with plain groups, classes and quantifiers that JavaScript has, too",
    );
  }
  return (text) => find(asOfUnicode16(text));
}
