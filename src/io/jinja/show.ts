import { pythonFloat } from "../json/python-json.ts";
import { unsupported } from "./errors.ts";
import { characters } from "./python-text.ts";
import {
  Float,
  type Instance,
  isDict,
  isList,
  isText,
  type List,
  Markup,
  Namespace,
  plain,
  Tuple,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Python's `str`: what is written where a value stands in a template. */
export function toText(value: Value): string {
  if (isText(value)) return plain(value);
  return value instanceof Undefined ? "" : repr(value);
}

/** Python's `repr`. */
export function repr(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (value instanceof Float)
    return pythonFloat(value.value).replace("Infinity", "inf").replace("NaN", "nan");
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
  if (typeof value === "string") return quoted(value);
  if (value instanceof Undefined) return "Undefined";
  if (isList(value)) return `[${list(value)}]`;
  if (value instanceof Tuple)
    return value.items.length === 1 ? `(${list(value.items)},)` : `(${list(value.items)})`;
  if (isDict(value)) return `{${entries(value)}}`;
  if (value instanceof View) return `${value.kind}([${list(value.items)}])`;
  if (value instanceof Namespace) return `<Namespace {${entries(value.values)}}>`;
  return unsupported(`writing a ${(value as Instance).kind ?? "generator"}, which has no text of its own,`);
}

const list = (items: List) => items.map(repr).join(", ");

function entries(values: ReadonlyMap<string | number | boolean | null, Value>): string {
  return [...values].map(([key, value]) => `${repr(key)}: ${repr(value)}`).join(", ");
}

/** Characters that Python's `repr` writes as they are. */
const PRINTABLE = /^[^\p{C}\p{Z}]$/u;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const shown = characters(text).map((character) => {
    if (character === quote) return `\\${quote}`;
    if (character === " " || PRINTABLE.test(character)) return SHORT[character] ?? character;
    return SHORT[character] ?? escaped(character.codePointAt(0) as number);
  });
  return quote + shown.join("") + quote;
}

function escaped(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
