// Python's values as a template has them. Numbers of JavaScript are whole numbers here; a float is a `Float`.
import { refuse } from "./errors.ts";

export type Value =
  | null
  | boolean
  | number
  | Float
  | string
  | Markup
  | Undefined
  | List
  | Tuple
  | Dict
  | View
  | Generator
  | Namespace
  | Instance;

export type List = readonly Value[];
export type Key = string | number | boolean | null;
export type Dict = ReadonlyMap<Key, Value>;

export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A text that the filter `safe` marked: what is added to it is escaped for HTML. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What is not there. It is false, empty and written as nothing; all else is refused, for the reason given. */
export class Undefined {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

export class Tuple {
  readonly items: List;

  constructor(items: List) {
    this.items = items;
  }
}

/** What `keys`, `values` and `items` of a dict give. */
export class View {
  readonly kind: string;
  readonly items: List;

  constructor(kind: string, items: List) {
    this.kind = kind;
    this.items = items;
  }
}

/** Items that can be asked for once; it is true even where there are none, as Python's is. */
export class Generator {
  #items: List;

  constructor(items: List) {
    this.#items = items;
  }

  take(): List {
    const items = this.#items;
    this.#items = [];
    return items;
  }

  takeFirst(): Value | undefined {
    const [first] = this.#items;
    this.#items = this.#items.slice(1);
    return first;
  }
}

/** The only thing whose fields a template can set. */
export class Namespace {
  readonly values: Map<string, Value>;

  constructor(values: Map<string, Value>) {
    this.values = values;
  }
}

/** A function, a method, a macro, `loop`, a cycler. */
export class Instance {
  /** As Python would show its type. */
  readonly kind: string;
  readonly call: ((given: Arguments) => Value) | undefined;
  readonly attribute: (name: string) => Value | undefined;

  constructor(
    kind: string,
    call: ((given: Arguments) => Value) | undefined,
    attribute: (name: string) => Value | undefined = () => undefined,
  ) {
    this.kind = kind;
    this.call = call;
    this.attribute = attribute;
  }
}

export const isDict = (value: unknown): value is Dict => value instanceof Map;
export const isList = (value: unknown): value is List => Array.isArray(value);
export const isText = (value: Value): value is string | Markup =>
  typeof value === "string" || value instanceof Markup;

/** The name of a value's type, as Python's errors have it. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return "int";
  if (value instanceof Float) return "float";
  if (isText(value)) return "str";
  if (isList(value)) return "list";
  if (isDict(value)) return "dict";
  if (value instanceof Instance || value instanceof View) return value.kind;
  return value.constructor.name.toLowerCase();
}

/** The number that a value counts as: true and false do, too. */
export function numberOf(value: Value): number | undefined {
  if (typeof value === "boolean") return Number(value);
  return value instanceof Float ? value.value : typeof value === "number" ? value : undefined;
}

/** A value, or another where there is none; None is a value. */
export function present(value: Value | undefined, otherwise: () => Value): Value {
  return value === undefined ? otherwise() : value;
}

/** A text without its mark. */
export function plain(text: string | Markup): string {
  return text instanceof Markup ? text.text : text;
}

/** What a function is called with. */
export class Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;

  constructor(positional: readonly Value[] = [], named: ReadonlyMap<string, Value> = new Map()) {
    this.positional = positional;
    this.named = named;
  }

  /**
   * The arguments by the names of a function's parameters, the positional ones first.
   * @param required how many of them have no default
   * @throws TemplateError where one is missing, unknown or there twice
   */
  bind(called: string, names: readonly string[], required = 0): Bound {
    const { positional, named } = this;
    if (positional.length > names.length) {
      refuse(`${called}() takes at most ${names.length} arguments, got ${positional.length}`);
    }
    const values = new Map<string, Value>();
    for (const [i, value] of positional.entries()) values.set(names[i] as string, value);
    for (const [name, value] of named) {
      if (!names.includes(name)) refuse(`${called}() got an unexpected keyword argument '${name}'`);
      if (values.has(name)) refuse(`${called}() got multiple values for argument '${name}'`);
      values.set(name, value);
    }
    const missing = names.slice(0, required).find((name) => !values.has(name));
    if (missing !== undefined) refuse(`${called}() is missing the argument '${missing}'`);
    return new Bound(called, values);
  }
}

/** Arguments by name. */
export class Bound {
  readonly #called: string;
  readonly #values: ReadonlyMap<string, Value>;

  constructor(called: string, values: ReadonlyMap<string, Value>) {
    this.#called = called;
    this.#values = values;
  }

  get(name: string): Value | undefined {
    return this.#values.get(name);
  }

  /** A text; `fallback` where none is given, and for None. */
  text<T extends string | undefined>(name: string, fallback: T): string | T {
    const value = this.#values.get(name);
    if (value === undefined || value === null) return fallback;
    return isText(value) ? plain(value) : this.#wrong(name, "a str", value);
  }

  /** A whole number; `fallback` where none is given, and for None. */
  integer<T extends number | undefined>(name: string, fallback: T): number | T {
    const value = this.#values.get(name);
    if (value === undefined || value === null) return fallback;
    if (typeof value === "boolean") return Number(value);
    return typeof value === "number" ? value : this.#wrong(name, "an int", value);
  }

  #wrong(name: string, wanted: string, value: Value): never {
    return refuse(`${this.#called}(): '${name}' must be ${wanted}, not ${typeName(value)}`);
  }
}
