import { compareCodePoints } from "../../util/code-points.ts";
import { bracket, pythonFloat, pythonString } from "../json/python-json.ts";
import { refuse } from "./errors.ts";
import { isTrue } from "./python-values.ts";
import { toText } from "./show.ts";
import {
  type Bound,
  Float,
  isDict,
  isList,
  isText,
  type Key,
  plain,
  Tuple,
  typeName,
  type Value,
} from "./values.ts";

interface Style {
  readonly string: (text: string) => string;
  /** What one level is indented by; undefined where all is on one line. */
  readonly indent: string | undefined;
  readonly between: string;
  readonly colon: string;
  readonly sorted: boolean;
}

/** The filter `tojson` of transformers: Python's `json.dumps`, which leaves HTML and other letters as they are. */
export function toJson(value: Value, given: Bound): string {
  const indent = given.get("indent");
  const separators = given.get("separators") ?? null;
  const pair = isList(separators) ? separators : separators instanceof Tuple ? separators.items : undefined;
  if (separators !== null && pair?.length !== 2) refuse("tojson(): separators must be two texts");
  const isIndented = indent !== undefined && indent !== null;
  const step = isIndented && isText(indent) ? plain(indent) : " ".repeat(given.integer("indent", 0));
  return dump(value, "\n", {
    string: isTrue(given.get("ensure_ascii") ?? false) ? pythonString : JSON.stringify,
    indent: isIndented ? step : undefined,
    between: pair ? toText(pair[0] as Value) : isIndented ? "," : ", ",
    colon: pair ? toText(pair[1] as Value) : ": ",
    sorted: isTrue(given.get("sort_keys") ?? false),
  });
}

function dump(value: Value, newline: string, style: Style): string {
  if (value === null || typeof value === "boolean" || typeof value === "number") return JSON.stringify(value);
  if (value instanceof Float) return pythonFloat(value.value);
  if (isText(value)) return style.string(plain(value));
  const inner = newline + (style.indent ?? "");
  if (isList(value) || value instanceof Tuple) {
    const items = isList(value) ? value : value.items;
    const dumped = items.map((item) => dump(item, inner, style));
    return bracket(["[", "]"], dumped, newline, style);
  }
  if (!isDict(value)) return refuse(`an object of type ${typeName(value)} is not JSON serializable`);
  const entries = [...value];
  if (style.sorted) entries.sort(([a], [b]) => compareCodePoints(keyText(a), keyText(b)));
  const items = entries.map(
    ([key, item]) => style.string(keyText(key)) + style.colon + dump(item, inner, style),
  );
  return bracket(["{", "}"], items, newline, style);
}

const keyText = (key: Key) => (typeof key === "string" ? key : JSON.stringify(key));
