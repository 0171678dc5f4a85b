import { refuse } from "./errors.ts";
import { formatPercent } from "./format.ts";
import { toJson } from "./json.ts";
import type { FilterFunction, Machine } from "./machine.ts";
import { pathOf } from "./members.ts";
import { escaped } from "./operators.ts";
import { capitalize, countOf, PYTHON_SPACE, replace, splitLines, strip } from "./python-text.ts";
import { isTrue, iterate } from "./python-values.ts";
import { toText } from "./show.ts";
import { callTextMethod } from "./text-methods.ts";
import {
  type Arguments,
  Float,
  isText,
  Markup,
  numberOf,
  plain,
  present,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Filters that make a text or a number. */
export const TEXT_FILTERS: Readonly<Record<string, FilterFunction>> = {
  abs(value) {
    const number = numberOf(value) ?? refuse(`bad operand type for abs(): '${typeName(value)}'`);
    return value instanceof Float ? new Float(Math.abs(number)) : Math.abs(number);
  },
  capitalize: ofText(capitalize),
  center: (value, given, { budget }) =>
    callTextMethod(toText(value), "center", [given.bind("center", ["width"]).integer("width", 80)], budget),
  escape: (value) => new Markup(escaped(value)),
  float: (value, given) => {
    const fallback = present(given.bind("float", ["default"]).get("default"), () => new Float(0));
    const number = isText(value) ? floatOf(plain(value)) : numberOf(value);
    return number === undefined ? fallback : new Float(number);
  },
  format(value, { positional, named }, { budget }) {
    if (named.size > 0) return formatPercent(toText(value), new Map(named), budget);
    return formatPercent(toText(value), new Tuple(positional), budget);
  },
  indent,
  int: (value, given) => {
    const fallback = present(given.bind("int", ["default"]).get("default"), () => 0);
    const number = isText(value) ? (integerOf(plain(value)) ?? floatOf(plain(value))) : numberOf(value);
    return number === undefined || !Number.isSafeInteger(Math.trunc(number))
      ? fallback
      : Math.trunc(number) + 0;
  },
  join(value, given, { budget }) {
    const bound = given.bind("join", ["d", "attribute"]);
    const [between, attribute] = [toText(present(bound.get("d"), () => "")), bound.get("attribute") ?? null];
    const items = iterate(value).map((item) =>
      toText(attribute === null ? item : pathOf(item, attribute, budget)),
    );
    budget.text(items.reduce((sum, { length }) => sum + length + between.length, 0));
    return items.join(between);
  },
  lower: ofText((text) => text.toLowerCase()),
  replace(value, given, { budget }) {
    const bound = given.bind("replace", ["old", "new", "count"], 2);
    const [text, old, by] = [value, bound.get("old") as Value, bound.get("new") as Value].map(toText) as [
      string,
      string,
      string,
    ];
    budget.text(text.length + countOf(text, old) * Math.max(0, by.length - old.length));
    return replace(text, old, by, bound.integer("count", -1));
  },
  round,
  safe: (value) => new Markup(toText(value)),
  string: (value) => (isText(value) ? value : toText(value)),
  title: ofText((text) =>
    text
      .split(TITLE_PARTS)
      .map((part) => part.charAt(0).toUpperCase() + part.slice(1).toLowerCase())
      .join(""),
  ),
  tojson(value, given, { budget }) {
    const text = toJson(value, given.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"]));
    budget.text(text.length);
    return text;
  },
  trim(value, given) {
    const from = given.bind("trim", ["chars"]).text("chars", undefined);
    const text = strip(toText(value), { left: true, right: true }, from);
    return value instanceof Markup ? new Markup(text) : text;
  },
  upper: ofText((text) => text.toUpperCase()),
  wordcount: (value) => toText(value).match(/[\p{L}\p{N}\p{M}_]+/gu)?.length ?? 0,
};

const TITLE_PARTS = new RegExp(`([-${PYTHON_SPACE}({[<]+)`);

/** A filter that keeps the mark of a text. */
function ofText(change: (text: string) => string): FilterFunction {
  return (value, given, { budget }) => {
    given.bind("the filter", []);
    budget.text(toText(value).length);
    return value instanceof Markup ? new Markup(change(value.text)) : change(toText(value));
  };
}

function indent(value: Value, given: Arguments, { budget }: Machine): Value {
  const bound = given.bind("indent", ["width", "first", "blank"]);
  const width = bound.get("width") ?? 4;
  const columns = isText(width) ? 0 : bound.integer("width", 4);
  const text = toText(value);
  const lines = splitLines(`${text}\n`);
  budget.text(text.length + lines.length * Math.max(0, columns));
  const by = isText(width) ? plain(width) : " ".repeat(Math.max(0, columns));
  const isBlank = isTrue(bound.get("blank") ?? false);
  const rest = lines.slice(1).map((line) => (line === "" && !isBlank ? line : by + line));
  const made = [lines[0] ?? "", ...rest].join("\n");
  return isTrue(bound.get("first") ?? false) ? by + made : made;
}

/** Python's `round`, which rounds halves to the even neighbour. */
function round(value: Value, given: Arguments): Value {
  const bound = given.bind("round", ["precision", "method"]);
  const digits = bound.integer("precision", 0);
  const method = bound.text("method", "common");
  const number = numberOf(value) ?? refuse(`type ${typeName(value)} doesn't define __round__ method`);
  const scale = 10 ** digits;
  if (method === "ceil") return new Float(Math.ceil(number * scale) / scale);
  if (method === "floor") return new Float(Math.floor(number * scale) / scale);
  if (method !== "common") return refuse("method must be common, ceil or floor");
  if (!(value instanceof Float)) return number;
  const scaled = number * scale;
  // A half has one binary place more than decimal ones; what is only near to one is rounded by its exact value.
  const isHalf = Math.abs(scaled % 1) === 0.5 && Number.isInteger(number * 2 ** (digits + 1));
  if (isHalf) return new Float((2 * Math.round(scaled / 2)) / scale);
  return new Float(
    digits >= 0 && digits <= 100 ? Number(number.toFixed(digits)) : Math.round(scaled) / scale,
  );
}

/** Python's `int(text)`. */
function integerOf(text: string): number | undefined {
  const trimmed = strip(text, { left: true, right: true });
  return /^[-+]?\d+(_\d+)*$/.test(trimmed) ? Number(trimmed.replaceAll("_", "")) : undefined;
}

/** Python's `float(text)`. */
function floatOf(text: string): number | undefined {
  const trimmed = strip(text, { left: true, right: true });
  const isNumber = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed);
  return isNumber ? Number(trimmed) : undefined;
}

/** A value, or another where it is undefined; where it is false, too, if that is asked for. */
export function defaultFilter(value: Value, given: Arguments): Value {
  const bound = given.bind("default", ["default_value", "boolean"]);
  const isMissing = value instanceof Undefined || (isTrue(bound.get("boolean") ?? false) && !isTrue(value));
  return isMissing ? present(bound.get("default_value"), () => "") : value;
}
