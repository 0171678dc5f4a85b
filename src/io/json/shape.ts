import { failAll, Problems } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";

/**
 * Reads JSON of a declared shape. A {@link Shape} checks a value and gives it with its type; what is wrong goes to a
 * list, so that a file's problems are reported all at once. Objects give their declared fields only.
 */

/** What a shape gives where it has reported a problem. */
export const INVALID = Symbol("invalid");

/** Reads a value found at a place. A missing field is read as `undefined`. */
export type Shape<T> = (value: unknown, at: Place) => T | typeof INVALID;

/** The type of what a shape reads. */
export type Shaped<S> = S extends Shape<infer T> ? Exclude<T, typeof INVALID> : never;

/** The types of what an object's fields are read as. */
export type ShapedFields<F> = { readonly [K in keyof F]: Shaped<F[K]> };

export type Fields = { readonly [key: string]: Shape<unknown> };

/** Where in a file a value stands, and the list of the file's problems. */
export class Place {
  readonly problems: Problems;
  readonly #outer: Place | undefined;
  readonly #step: string | number;

  /** The whole file. */
  constructor(problems = new Problems(), outer?: Place, step: string | number = "") {
    this.problems = problems;
    this.#outer = outer;
    this.#step = step;
  }

  /** A field of an object, or an item of a list. */
  at(step: string | number): Place {
    return new Place(this.problems, this, step);
  }

  /** The same place with a list of its own, to find out whether a shape fits. */
  apart(): Place {
    return new Place(new Problems(), this.#outer, this.#step);
  }

  /** `pre_tokenizer.pretokenizers[1]`; empty for the whole file. Made only when a problem is reported: most places are never named. */
  get path(): string {
    if (this.#outer === undefined) return "";
    const outer = this.#outer.path;
    if (typeof this.#step === "string" && /^[A-Za-z_]\w*$/.test(this.#step)) {
      return outer === "" ? this.#step : `${outer}.${this.#step}`;
    }
    return `${outer}[${shown(this.#step)}]`;
  }

  /** Notes that what stands here `is …` or `has …`. */
  invalid(what: string): typeof INVALID {
    this.problems.push(() => `${this.path} ${what}`.trim());
    return INVALID;
  }

  /** Notes what stands here and what was expected. */
  expected(what: string, value: unknown): typeof INVALID {
    return this.invalid(
      value === undefined ? `is missing, expected ${what}` : `is ${shown(value)}, expected ${what}`,
    );
  }
}

/**
 * The value as `shape` reads it.
 * @param help what to do where it is of another shape
 * @throws LoraError that names the file and each problem with its place
 */
export function readShape<T>(shape: Shape<T>, value: unknown, file: string, help: string): T {
  const at = new Place();
  const read = shape(value, at);
  failAll(file, at.problems, help);
  // A shape reports a problem whenever it gives INVALID.
  return read as T;
}

export const boolean: Shape<boolean> = (value, at) =>
  typeof value === "boolean" ? value : at.expected("true or false", value);

export const string: Shape<string> = (value, at) =>
  typeof value === "string" ? value : at.expected("a string", value);

/** One Unicode code point. */
export const character: Shape<string> = (value, at) =>
  typeof value === "string" && [...value].length === 1 ? value : at.expected("one character", value);

/** Whether a value is a whole number from 0 to `highest`; -0 is none, since it is written as `-0`. */
export function isWhole(value: unknown, highest: number): value is number {
  return Number.isInteger(value) && !Object.is(value, -0) && Number(value) >= 0 && Number(value) <= highest;
}

/** A whole number from 0 to `highest`. */
export function whole(highest: number): Shape<number> {
  const described = highest === Number.MAX_SAFE_INTEGER ? "2^53 - 1" : highest;
  return (value, at) =>
    isWhole(value, highest) ? value : at.expected(`a whole number from 0 to ${described}`, value);
}

/** A number from `lowest` to `highest`. */
export function numberIn(lowest = -Infinity, highest = Infinity): Shape<number> {
  const described = lowest === -Infinity ? "a number" : `a number from ${lowest} to ${highest}`;
  return (value, at) =>
    typeof value === "number" && value >= lowest && value <= highest ? value : at.expected(described, value);
}

export function literal<const T extends string>(...names: readonly T[]): Shape<T> {
  const known: readonly unknown[] = names;
  return (value, at) =>
    known.includes(value) ? (value as T) : at.expected(`one of ${names.map(shown).join(", ")}`, value);
}

/** The shape, or nothing: a field that is missing or null is null. */
export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return (value, at) => (value === undefined || value === null ? null : shape(value, at));
}

/** The shape, or `standard` where the field is missing; null is no value. */
export function withDefault<T>(shape: Shape<T>, standard: T): Shape<T> {
  return (value, at) => (value === undefined ? standard : shape(value, at));
}

export function list<T>(item: Shape<T>): Shape<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return at.expected("a list", value);
    const read = value.map((entry, index) => item(entry, at.at(index)));
    return allValid(read) ? read : INVALID;
  };
}

function allValid<T>(read: readonly (T | typeof INVALID)[]): read is readonly T[] {
  return !read.includes(INVALID);
}

/** A list of two: `["[SEP]", 102]`. */
export function pair<A, B>(first: Shape<A>, second: Shape<B>): Shape<readonly [A, B]> {
  return (value, at) => {
    if (!Array.isArray(value) || value.length !== 2) return at.expected("a list of two", value);
    const [a, b] = [first(value[0], at.at(0)), second(value[1], at.at(1))];
    return a === INVALID || b === INVALID ? INVALID : ([a, b] as [A, B]);
  };
}

/** An object with any keys, whose values are all of one shape. */
export function record<T>(entry: Shape<T>): Shape<{ readonly [key: string]: T }> {
  return (value, at) => {
    if (!isObject(value)) return at.expected("an object", value);
    return readFields(Object.keys(value), () => entry, value, at) as
      | { readonly [key: string]: T }
      | typeof INVALID;
  };
}

/** An object with these fields; others are left out. */
export function object<F extends Fields>(fields: F): Shape<ShapedFields<F>> {
  return (value, at) => {
    if (!isObject(value)) return at.expected("an object", value);
    return readFields(Object.keys(fields), (key) => fields[key]!, value, at) as
      | ShapedFields<F>
      | typeof INVALID;
  };
}

function readFields(
  keys: readonly string[],
  shapeOf: (key: string) => Shape<unknown>,
  value: JsonObject,
  at: Place,
): JsonObject | typeof INVALID {
  const read = keys.map((key): [string, unknown] => [
    key,
    // A field is the object's own: "constructor" is not one of every object.
    shapeOf(key)(Object.hasOwn(value, key) ? value[key] : undefined, at.at(key)),
  ]);
  return read.some(([, entry]) => entry === INVALID) ? INVALID : Object.fromEntries(read);
}

/** An object with exactly one of these fields: `{"Regex": "…"}`. */
export function oneField<F extends Fields>(fields: F): Shape<Choice<F>> {
  const names = Object.keys(fields);
  return (value, at) => {
    const [key, ...others] = isObject(value) ? Object.keys(value) : [];
    if (!isObject(value) || key === undefined || others.length > 0 || !Object.hasOwn(fields, key)) {
      return at.expected(`an object with one of ${names.map(shown).join(", ")}`, value);
    }
    return readFields([key], () => fields[key]!, value, at) as Choice<F> | typeof INVALID;
  };
}

/** One of an object's fields alone; the others are not there. */
type Choice<F> = {
  [K in keyof F]: { readonly [Key in K]: Shaped<F[K]> } & {
    readonly [Key in Exclude<keyof F, K>]?: undefined;
  };
}[keyof F];
