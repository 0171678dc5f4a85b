// What Python does with its values.
import { refuse } from "./errors.ts";
import { characters } from "./python-text.ts";
import {
  Float,
  Generator,
  isDict,
  isList,
  isText,
  type Key,
  type List,
  Markup,
  numberOf,
  plain,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Python's `bool`. */
export function isTrue(value: Value): boolean {
  const number = numberOf(value);
  if (number !== undefined) return number !== 0;
  if (isText(value)) return String(value instanceof Markup ? value.text : value) !== "";
  if (isList(value)) return value.length > 0;
  if (isDict(value)) return value.size > 0;
  if (value instanceof Tuple || value instanceof View) return value.items.length > 0;
  return value !== null && !(value instanceof Undefined);
}

/** The items of what can be iterated over; undefined for what can't. */
export function itemsOf(value: Value): List | undefined {
  if (isList(value)) return value;
  if (value instanceof Tuple || value instanceof View) return value.items;
  if (value instanceof Generator) return value.take();
  if (isDict(value)) return [...value.keys()];
  if (isText(value)) return characters(value instanceof Markup ? value.text : value);
  return value instanceof Undefined ? [] : undefined;
}

/** @throws TemplateError for what can't be iterated over */
export function iterate(value: Value): List {
  return itemsOf(value) ?? refuse(`'${typeName(value)}' object is not iterable`);
}

/** Python's `==`. */
export function equals(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return x === y;
  if (isText(a) && isText(b)) return plain(a) === plain(b);
  if (isList(a) && isList(b)) return sameItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return sameItems(a.items, b.items);
  if (a instanceof Undefined) return b instanceof Undefined;
  if (isDict(a) && isDict(b)) {
    const same = ([key, value]: [Key, Value]) => b.has(key) && equals(value, b.get(key) as Value);
    return a.size === b.size && [...a].every(same);
  }
  return a === b;
}

function sameItems(a: List, b: List): boolean {
  return a.length === b.length && a.every((item, i) => equals(item, b[i] as Value));
}

/** The key that a value is in a dict. */
export function keyOf(value: Value): Key {
  if (isText(value)) return plain(value);
  if (value === null || typeof value === "boolean" || typeof value === "number") return value;
  return refuse(`a ${typeName(value)} cannot be a key`);
}

/**
 * JSON as a template's values. JSON.parse knows no difference between 1 and 1.0: both are whole numbers.
 * @throws TemplateError for what is no JSON
 */
export function fromJson(json: unknown): Value {
  if (json === null || typeof json === "boolean" || typeof json === "string") return json;
  if (typeof json === "number") return Number.isSafeInteger(json) ? json : new Float(json);
  if (Array.isArray(json)) return json.map(fromJson);
  if (typeof json !== "object") return refuse(`a ${typeof json} is no JSON`);
  const entries = Object.entries(json).filter(([, value]) => value !== undefined);
  return new Map(entries.map(([key, value]) => [key, fromJson(value)]));
}
