import type { Budget } from "./budget.ts";
import { refuse, unsupported } from "./errors.ts";
import { repr, toText } from "./show.ts";
import { Float, isDict, numberOf, present, Tuple, typeName, type Value } from "./values.ts";

const DIRECTIVE = /%(?:\((\w+)\))?([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g;

/** Widths and precisions beyond this are a mistake or worse. */
const MOST_WIDE = 1000;

/** `text % value`, printf's way. */
export function formatPercent(text: string, value: Value, budget: Budget): string {
  const values = value instanceof Tuple ? value.items : [value];
  let used = 0;
  const next = (name: string | undefined) => {
    const found = name === undefined ? values[used++] : isDict(value) ? value.get(name) : undefined;
    return present(found, () => refuse(`no value for ${name === undefined ? "a directive" : `%(${name})`}`));
  };
  const made = text.replace(DIRECTIVE, (_, name, flags: string, width: string, precision, kind: string) => {
    if (kind === "%") return "%";
    if (Number(width) > MOST_WIDE || Number(precision) > MOST_WIDE)
      unsupported(`a width of ${width || precision}`);
    return pad(convert(next(name), kind, precision, flags), flags, Number(width));
  });
  if (used < values.length && !isDict(value)) refuse("not all arguments converted during string formatting");
  budget.text(made.length);
  return made;
}

function convert(value: Value, kind: string, precision: string | undefined, flags: string): string {
  if (kind === "s" || kind === "r") {
    const text = kind === "s" ? toText(value) : repr(value);
    return precision === undefined ? text : text.slice(0, Number(precision));
  }
  const number = numberOf(value) ?? refuse(`%${kind} format: a number is required, not ${typeName(value)}`);
  const sign = number >= 0 && flags.includes("+") ? "+" : number >= 0 && flags.includes(" ") ? " " : "";
  if (kind === "d" || kind === "i") return sign + String(Math.trunc(number) + 0);
  if (kind === "f" || kind === "F") return sign + number.toFixed(Number(precision ?? 6));
  if (kind === "x") return sign + Math.trunc(number).toString(16);
  return unsupported(`the directive %${kind}`);
}

function pad(text: string, flags: string, width: number): string {
  if (flags.includes("-")) return text.padEnd(width);
  if (!flags.includes("0")) return text.padStart(width);
  const sign = /^[-+ ]?/.exec(text)?.[0] ?? "";
  return sign + text.slice(sign.length).padStart(width - sign.length, "0");
}

/** `text.format(…)`: fields by number or name, without attributes and without formats but `.2f` and `d`. */
export function formatBraces(
  text: string,
  positional: readonly Value[],
  named: ReadonlyMap<string, Value>,
): string {
  let next = 0;
  return text.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (found, field?: string) => {
    if (found === "{{" || found === "}}") return found.charAt(0);
    if (field === undefined) return refuse(`single '${found}' encountered in format string`);
    const [, name = "", style = ""] = /^(\w*)(?::(.*))?$/.exec(field) ?? unsupported(`the field {${field}}`);
    const value = /^\d*$/.test(name) ? positional[name === "" ? next++ : Number(name)] : named.get(name);
    if (value === undefined) return refuse(`no value for the field {${field}} of format()`);
    if (style === "") return toText(value);
    const [, digits] = /^\.(\d{1,2})f$/.exec(style) ?? [];
    const number = numberOf(value);
    if (number === undefined || (digits === undefined && (style !== "d" || value instanceof Float))) {
      return unsupported(`the field {${field}} of format()`);
    }
    return digits === undefined ? String(number) : number.toFixed(Number(digits));
  });
}
