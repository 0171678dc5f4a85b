import { fail, failAll } from "./fail.ts";
import { isObject } from "./json.ts";
import { nearest } from "./nearest.ts";

/** What an option has to be. */
export interface Rule {
  /** Completes "…, wanted". */
  readonly wanted: string;
  accepts(value: unknown): boolean;
  /** What PEFT, TRL or transformers call the option, where that is not the same word. */
  readonly aliases: readonly string[];
  /** It is an error not to give it. */
  readonly required?: boolean;
}

/** A rule for each key of an options object: one that gets no rule is a mistake in types. */
export type Rules<T> = { readonly [K in keyof T]-?: Rule };

/**
 * Checks an options object as a caller gave it. An option that is undefined counts as not given.
 * @param where the function, for messages
 * @throws LoraError listing every key that is unknown, with the nearest that is known, and every value that is not wanted
 */
export function checkOptions<T extends object>(where: string, given: T, rules: Rules<T>): void {
  if (!isObject(given)) fail(where, `the options are ${describe(given)}, wanted an object`);
  const known = new Map(Object.entries<Rule>(rules));
  const unknown = Object.keys(given).filter((key) => !known.has(key));
  const wrong = [...known].flatMap(([key, { wanted, accepts, required = false }]) => {
    const value = given[key];
    if (value === undefined) return required ? [`${key} is missing, wanted ${wanted}`] : [];
    return accepts(value) ? [] : [`${key} is ${describe(value)}, wanted ${wanted}`];
  });
  const problems = [...unknown.map((key) => describeUnknown(key, known)), ...wrong];
  failAll(
    where,
    problems,
    unknown.length > 0 ? `the options are ${[...known.keys()].join(", ")}` : undefined,
  );
}

/** The defaults, and in their place what is given and not undefined. */
export function withDefaults<D extends object, T extends object>(defaults: D, given: T): D & Given<T, D> {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(entries) } as D & Given<T, D>;
}

/** The options that some rules are for, out of those for several functions. */
export function pickOptions<T extends object, K extends keyof T>(
  given: T,
  rules: Readonly<Record<K, Rule>>,
): Pick<T, K> {
  const entries = Object.entries(given).filter(([key]) => Object.hasOwn(rules, key));
  return Object.fromEntries(entries) as Pick<T, K>;
}

/** What is given beside the defaults, which have a value in any case. */
type Given<T, D> = Omit<T, keyof D>;

function describeUnknown(key: string, known: ReadonlyMap<string, Rule>): string {
  const alias = [...known].find(([, { aliases }]) => aliases.includes(key))?.[0];
  const meant = alias ?? nearest(key, [...known.keys()]);
  return `${key} is unknown${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}

/** A value in a message: short, whatever it is. */
export function describe(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (Array.isArray(value))
    return value.length > 8 ? `a list of ${value.length}` : `[${value.map(describe).join(", ")}]`;
  if (typeof value === "object" && value !== null) return describeObject(value);
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** An object, with some of its keys: they tell a model from an adapter. */
function describeObject(value: object): string {
  const keys = Object.keys(value);
  if (keys.length === 0) return "an object";
  return `an object with ${keys.slice(0, 3).join(", ")}${keys.length > 3 ? " …" : ""}`;
}

/** Bounds of a number: `above` and `below` are not reached themselves. */
export interface Bounds {
  readonly min?: number;
  readonly max?: number;
  readonly above?: number;
  readonly below?: number;
}

/** Bounds of a factor: what it multiplies stays far from the end of 32-bit floats, 3.4e38. */
export const FACTOR = { min: -1e30, max: 1e30 } satisfies Bounds;

/** A number within bounds; never NaN or infinite. */
export function number(bounds: Bounds = {}, ...aliases: string[]): Rule {
  return { wanted: `a number${inWords(bounds)}`, accepts: (value) => isWithin(value, bounds), aliases };
}

/** A whole number within bounds. */
export function integer(bounds: Bounds = {}, ...aliases: string[]): Rule {
  const accepts = (value: unknown) => Number.isSafeInteger(value) && isWithin(value, bounds);
  return { wanted: `a whole number${inWords(bounds)}`, accepts, aliases };
}

/** Whether a value is a number within bounds. */
export function isWithin(value: unknown, bounds: Bounds): boolean {
  const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = bounds;
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  return value >= min && value <= max && value > above && value < below;
}

/** Bounds, to follow "a number". */
export function inWords({ min, max, above, below }: Bounds): string {
  const low = min !== undefined ? [`at least ${min}`] : above !== undefined ? [`above ${above}`] : [];
  const high = max !== undefined ? [`at most ${max}`] : below !== undefined ? [`below ${below}`] : [];
  const both = [...low, ...high].join(" and ");
  return both === "" ? "" : low.length > 0 && min !== undefined ? ` of ${both}` : ` ${both}`;
}

/** true or false. */
export function flag(...aliases: string[]): Rule {
  return { wanted: "true or false", accepts: (value) => typeof value === "boolean", aliases };
}

/** A text. */
export function text(...aliases: string[]): Rule {
  return { wanted: "a text", accepts: (value) => typeof value === "string", aliases };
}

/** A text with something in it. */
export function words(...aliases: string[]): Rule {
  return {
    wanted: "a text",
    accepts: (value) => typeof value === "string" && value.trim() !== "",
    aliases,
  };
}

/** One of some words. */
export function oneOf(words: readonly string[], ...aliases: string[]): Rule {
  return {
    wanted: `one of ${words.join(", ")}`,
    accepts: (value) => words.some((word) => word === value),
    aliases,
  };
}

/** A list, each item of which follows a rule. */
export function listOf(item: Rule, wanted: string, ...aliases: string[]): Rule {
  return {
    wanted,
    accepts: (value) => Array.isArray(value) && value.every((entry) => item.accepts(entry)),
    aliases,
  };
}

/** What follows one of two rules. */
export function either(one: Rule, other: Rule, ...aliases: string[]): Rule {
  return {
    wanted: `${one.wanted}, or ${other.wanted}`,
    accepts: (value) => one.accepts(value) || other.accepts(value),
    aliases: [...one.aliases, ...other.aliases, ...aliases],
  };
}

/** What must be given. */
export function required(rule: Rule): Rule {
  return { ...rule, required: true };
}

/** A function. */
export function callback(): Rule {
  return { wanted: "a function", accepts: (value) => typeof value === "function", aliases: [] };
}

/** An object, no list, whose own functions look into it. */
export function objectOf(wanted: string, accepts: (value: object) => boolean = () => true): Rule {
  return {
    wanted,
    accepts: (value) => isObject(value) && accepts(value),
    aliases: [],
  };
}
