import type { Budget } from "./budget.ts";
import { refuse } from "./errors.ts";
import { characters } from "./python-text.ts";
import { equals, iterate, keyOf } from "./python-values.ts";
import { repr } from "./show.ts";
import { textMethod } from "./text-methods.ts";
import {
  type Arguments,
  type Dict,
  Instance,
  isDict,
  isList,
  isText,
  type Key,
  type List,
  Namespace,
  plain,
  present,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** `object.name`: what Python's type has of that name comes before a dict's key. */
export function attributeOf(object: Value, name: string, budget: Budget): Value {
  if (object instanceof Undefined) return refuse(object.why);
  const own = ownAttribute(object, name, budget);
  const found = own === undefined && isDict(object) ? object.get(name) : own;
  return present(found, () => new Undefined(`'${describe(object)}' has no attribute '${name}'`));
}

/** `object[key]`: a dict's key comes before what its type has of that name. */
export function itemOf(object: Value, key: Value, budget: Budget): Value {
  if (object instanceof Undefined) return refuse(object.why);
  const item = isDict(object) ? object.get(keyOf(key)) : itemAt(object, key);
  if (item !== undefined) return item;
  const attribute = isText(key) ? ownAttribute(object, plain(key), budget) : undefined;
  if (attribute !== undefined) return attribute;
  const what = isText(key) ? `attribute '${plain(key)}'` : `element ${repr(key)}`;
  return new Undefined(`'${describe(object)}' has no ${what}`);
}

/** As Jinja2's messages name a value. */
function describe(value: Value): string {
  return `${value === null ? "None" : `${typeName(value)} object`}`;
}

function itemAt(object: Value, key: Value): Value | undefined {
  if (typeof key !== "number") return undefined;
  if (isText(object)) return characters(plain(object)).at(key);
  return sequenceItems(object)?.at(key);
}

function sequenceItems(value: Value): List | undefined {
  return isList(value) ? value : value instanceof Tuple ? value.items : undefined;
}

function ownAttribute(object: Value, name: string, budget: Budget): Value | undefined {
  if (name.startsWith("__")) return refuse(`access to attribute '${name}' is unsafe`);
  if (isText(object)) return textMethod(plain(object), name, budget);
  if (object instanceof Namespace) return object.values.get(name);
  if (object instanceof Instance) return object.attribute(name);
  if (isDict(object)) return dictMethod(object, name);
  const items = sequenceItems(object);
  return items && listMethod(items, name, isList(object));
}

const method = (name: string, call: (given: Arguments) => Value) =>
  new Instance("builtin_function_or_method", call, (asked) => (asked === "__name__" ? name : undefined));

const CHANGES = {
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
  list: ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"],
};

/** What changes a value is refused by the sandbox in which transformers runs templates. */
function change(name: string, type: string): Instance {
  return method(name, () => refuse(`the method ${name} changes a ${type}, and templates may not`));
}

function dictMethod(dict: Dict, name: string): Instance | undefined {
  const asView = (kind: string, items: () => List) =>
    method(name, (given) => {
      given.bind(name, []);
      return new View(`dict_${kind}`, items());
    });
  switch (name) {
    case "get":
      return method(name, (given) => {
        const bound = given.bind(name, ["key", "default"], 1);
        const found = dict.get(keyOf(bound.get("key") as Value));
        return present(found, () => bound.get("default") ?? null);
      });
    case "keys":
      return asView(name, () => [...dict.keys()]);
    case "values":
      return asView(name, () => [...dict.values()]);
    case "items":
      return asView(name, () => [...dict].map((entry) => new Tuple(entry)));
    case "copy":
      return method(name, () => new Map<Key, Value>(dict));
  }
  return CHANGES.dict.includes(name) ? change(name, "dict") : undefined;
}

function listMethod(items: List, name: string, isChangeable: boolean): Instance | undefined {
  if (name === "count" || name === "index") {
    return method(name, (given) => {
      const wanted = given.bind(name, ["value"], 1).get("value") as Value;
      if (name === "count") return items.filter((item) => equals(item, wanted)).length;
      const at = items.findIndex((item) => equals(item, wanted));
      return at < 0 ? refuse(`${repr(wanted)} is not in list`) : at;
    });
  }
  if (!isChangeable) return undefined;
  if (name === "copy") return method(name, () => [...items]);
  return CHANGES.list.includes(name) ? change(name, "list") : undefined;
}

/** `object[start:stop:step]`. */
export function sliceOf(object: Value, bounds: readonly Value[], budget: Budget): Value {
  if (object instanceof Undefined) return refuse(object.why);
  const [start, stop, step] = bounds.map((bound) => {
    if (bound === null) return undefined;
    return typeof bound === "number" ? bound : refuse("slice indices must be integers or None");
  });
  if (step === 0) refuse("slice step cannot be zero");
  if (isText(object)) {
    budget.text(plain(object).length);
    return slice(characters(plain(object)), start, stop, step).join("");
  }
  const items = sequenceItems(object) ?? refuse(`'${typeName(object)}' object cannot be sliced`);
  budget.items(items.length);
  const part = slice(items, start, stop, step);
  return object instanceof Tuple ? new Tuple(part) : part;
}

function slice<T>(items: readonly T[], start?: number, stop?: number, step = 1): T[] {
  const { length } = items;
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const clamp = (at: number) => Math.min(high, Math.max(low, at < 0 ? at + length : at));
  const first = start === undefined ? (step > 0 ? low : high) : clamp(start);
  const end = stop === undefined ? (step > 0 ? high : low) : clamp(stop);
  const taken: T[] = [];
  for (let at = first; step > 0 ? at < end : at > end; at += step) taken.push(items[at] as T);
  return taken;
}

/** The value of `a.b.0` in an item, as the filters `map` and `selectattr` look it up. */
export function pathOf(item: Value, path: Value, budget: Budget): Value {
  if (typeof path === "number") return itemOf(item, path, budget);
  if (!isText(path)) return refuse(`an attribute is a ${typeName(path)}, wanted a str`);
  return plain(path)
    .split(".")
    .reduce<Value>((value, part) => itemOf(value, /^\d+$/.test(part) ? Number(part) : part, budget), item);
}

/** Python's `len`. */
export function countItems(value: Value): number {
  if (value instanceof Undefined) return 0;
  if (isDict(value)) return value.size;
  if (value instanceof View || isText(value) || sequenceItems(value)) return iterate(value).length;
  return refuse(`object of type '${typeName(value)}' has no len()`);
}
