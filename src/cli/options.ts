import { parseJson } from "../io/json/parse.ts";
import { isObject } from "../util/json.ts";
import { type Bounds, inWords, isWithin } from "../util/options.ts";

/** One setting: what it accepts, and how it is described. Its name is its key in an {@link OptionTable}. */
export interface Option<T> {
  readonly help: string;
  /** Completes "…, wanted". */
  readonly wanted: string;
  /** Where nothing is given. */
  readonly fallback: T;
  /** It is an error if nothing is given. */
  readonly required: boolean;
  /** Other names, as other tools have them. */
  readonly aliases: readonly string[];
  /** Stands for the value in the help; a switch has none. */
  readonly placeholder: string | undefined;
  /** A flag takes all words that follow. */
  readonly several: boolean;
  /** A flag may stand alone, which is `true`. */
  readonly bare: boolean;
  /** The value of a flag (text) or of a configuration key (anything), or undefined where it is not what is wanted. */
  read(value: unknown): T | undefined;
}

/** The settings of a command by their snake_case name: the only place where a name is stated. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The values of all settings of a table. */
export type Settings<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never;
};

interface Common {
  help: string;
  aliases?: readonly string[];
}

function option<T>(
  given: Partial<Option<T>> & Pick<Option<T>, "help" | "wanted" | "fallback" | "read">,
): Option<T> {
  return { aliases: [], required: false, several: false, bare: false, placeholder: undefined, ...given };
}

const orUnset = (unset: number | undefined) => (unset === undefined ? "" : `, or ${unset} for none`);

/** A number within bounds, or the value `unset`, which stands for "none". */
export function number<T extends number | undefined>(
  given: Common & Bounds & { fallback: T; unset?: number },
): Option<number | T> {
  const { unset } = given;
  return option<number | T>({
    ...given,
    placeholder: "number",
    wanted: `a number${inWords(given)}${orUnset(unset)}`,
    read(value) {
      const x = readNumber(value);
      return isWithin(x, given) || (x !== undefined && x === unset) ? x : undefined;
    },
  });
}

/** A number within bounds that may be left out. */
export function optionalNumber(given: Common & Bounds): Option<number | undefined> {
  return option<number | undefined>({ ...number({ ...given, fallback: 0 }), fallback: undefined });
}

/** A whole number of at least `min`, or the value `unset`, which stands for "not given". */
export function integer<T extends number | undefined>(
  given: Common & { fallback: T; min: number; unset?: number },
): Option<number | T> {
  const { min, unset } = given;
  return option<number | T>({
    ...given,
    placeholder: "n",
    wanted: `a whole number of at least ${min}${orUnset(unset)}`,
    read(value) {
      const x = readNumber(value);
      return x !== undefined && Number.isSafeInteger(x) && (x >= min || x === unset) ? x : undefined;
    },
  });
}

const SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** A span of time, `90`, `90s`, `1.5m`, `1h` or `30d`, in seconds. */
export function duration<T extends number | undefined>(given: Common & { fallback: T }): Option<number | T> {
  return option<number | T>({
    ...given,
    placeholder: "time",
    wanted: "a time above 0, such as 60s, 5m or 30d",
    read(value) {
      const [, amount, unit = ""] = /^\s*([\d.]+)\s*([a-z]*)\s*$/i.exec(plainText(value)) ?? [];
      const seconds = Number(amount) * (SECONDS[unit.toLowerCase()] ?? Number.NaN);
      return seconds > 0 && Number.isFinite(seconds) ? seconds : undefined;
    },
  });
}

const BYTES: Readonly<Record<string, number>> = {
  ...{ "": 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
};

/** An amount of memory, `8GB`, `7.5GiB` or `6000MB`, in bytes. */
export function optionalBytes(given: Common): Option<number | undefined> {
  return option<number | undefined>({
    ...given,
    fallback: undefined,
    placeholder: "amount",
    wanted: "an amount above 0, such as 8GB or 7.5GiB",
    read(value) {
      const [, amount, unit = ""] = /^\s*([\d.]+)\s*([a-z]*)\s*$/i.exec(plainText(value)) ?? [];
      const bytes = Math.floor(Number(amount) * (BYTES[unit.toLowerCase()] ?? Number.NaN));
      return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
    },
  });
}

/** A value of a configuration as a flag would have it: YAML has made a number or a switch of some. */
function plainText(value: unknown): string {
  return typeof value === "object" ? "" : String(value);
}

const SWITCH: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["false", false],
]);

/** A switch: `--name`, `--no-name`, `--name false`; `true` or `false` in a configuration. */
export function flag(given: Common & { fallback: boolean }): Option<boolean> {
  return option({
    ...given,
    wanted: "true or false",
    read: (value) => SWITCH.get(plainText(value).toLowerCase()),
  });
}

/** A switch that something else decides where it is not given. */
export function optionalFlag(given: Common): Option<boolean | undefined> {
  return { ...flag({ ...given, fallback: false }), fallback: undefined };
}

/** A text that is not empty; without a fallback it must be given. */
export function text(given: Common & { placeholder: string; fallback?: string }): Option<string> {
  return option({
    fallback: "",
    ...given,
    required: given.fallback === undefined,
    wanted: "a text",
    read: readText,
  });
}

/** A text that may be left out. */
export function optionalText(given: Common & { placeholder: string }): Option<string | undefined> {
  return option<string | undefined>({ ...given, fallback: undefined, wanted: "a text", read: readText });
}

/** A text that may be left out; the flag alone, or `true`, stands for `alone`. */
export function textOrAlone(
  given: Common & { placeholder: string; alone: string },
): Option<string | undefined> {
  return option<string | undefined>({
    ...given,
    fallback: undefined,
    bare: true,
    wanted: "a text, or nothing",
    read: (value) => (plainText(value) === "true" ? given.alone : readText(value)),
  });
}

/** One of some words; `synonyms` are other words for them. */
export function choice<T extends string, F extends T | undefined>(
  given: Common & { choices: readonly T[]; synonyms?: ReadonlyMap<string, T>; fallback: F },
): Option<T | F> {
  const { choices, synonyms } = given;
  return option<T | F>({
    ...given,
    placeholder: choices.join("|"),
    wanted: `one of ${choices.join(", ")}`,
    read: (value) => choices.find((word) => word === value) ?? synonyms?.get(plainText(value)),
  });
}

/** Some of some words, as words or separated by commas; `all` of them, or `none`. */
export function choices<T extends string>(
  given: Common & { choices: readonly T[]; fallback: readonly T[] },
): Option<readonly T[]> {
  const known = new Map<string, readonly T[]>([
    ...given.choices.map((word) => [word, [word]] as const),
    ["all", given.choices],
    ["none", []],
  ]);
  return option<readonly T[]>({
    ...given,
    placeholder: given.choices.join("|"),
    several: true,
    wanted: `any of ${given.choices.join(", ")}, or all, or none`,
    read(value) {
      const words = (Array.isArray(value) ? value : [value]).flatMap((word) => splitNames(plainText(word)));
      if (Array.isArray(value) && words.length === 0) return [];
      const read = words.map((word) => known.get(word));
      if (words.length === 0 || (words.includes("none") && words.length > 1)) return undefined;
      return read.every((some) => some !== undefined) ? [...new Set(read.flat())] : undefined;
    },
  });
}

/** What a function of its own reads. */
export function readBy<T>(
  given: Common & Pick<Option<T>, "wanted" | "fallback" | "placeholder" | "read"> & { bare?: boolean },
): Option<T> {
  return option(given);
}

/** Any number of texts, or at least one. */
export function texts(
  given: Common & { placeholder: string; required?: boolean },
): Option<readonly string[]> {
  return option<readonly string[]>({
    ...given,
    fallback: [],
    several: true,
    wanted: "a text or a list of texts",
    read(value) {
      const list = Array.isArray(value) ? value : [value];
      return list.length > 0 && list.every((item) => readText(item) !== undefined) ? list : undefined;
    },
  });
}

/** Any number of whole numbers of at least `min`, as words or separated by commas. */
export function integers(given: Common & { min: number }): Option<readonly number[]> {
  const { min } = given;
  const isGood = (x: number) => Number.isSafeInteger(x) && x >= min;
  return listOfNumbers({ ...given, placeholder: "n", wanted: `whole numbers of at least ${min}` }, isGood);
}

/** Any number of numbers within bounds, in the same way. */
export function numbers(given: Common & Bounds): Option<readonly number[]> {
  const wanted = `numbers, each${inWords(given)}`;
  return listOfNumbers({ ...given, placeholder: "number", wanted }, (x) => isWithin(x, given));
}

function listOfNumbers(
  given: Common & { placeholder: string; wanted: string },
  isGood: (x: number) => boolean,
): Option<readonly number[]> {
  return option<readonly number[]>({
    ...given,
    fallback: [],
    several: true,
    read(value) {
      const words = (Array.isArray(value) ? value : [value]).flatMap((word) =>
        typeof word === "string" ? splitNames(word) : [word],
      );
      const read = words.map(readNumber);
      const areGood = read.every((x): x is number => x !== undefined && isGood(x));
      return read.length > 0 && areGood ? read : undefined;
    },
  });
}

/** A number for each of some names: `name=number` words, a JSON object, or a mapping in a configuration. */
export function numbersByName(
  given: Common & { wanted: string; accepts: (x: number) => boolean },
): Option<Readonly<Record<string, number>>> {
  return option<Readonly<Record<string, number>>>({
    ...given,
    placeholder: "name=number",
    fallback: {},
    several: true,
    wanted: `${given.wanted} for each name (q_proj=16), or {"q_proj": 16}`,
    read(value) {
      const entries = isObject(value) ? Object.entries(value) : readPairs(value);
      const numbers = entries?.map(([name, text]) => [name, readNumber(text)] as const);
      const isGood = (x: number | undefined) => x !== undefined && given.accepts(x);
      return numbers?.every(([name, x]) => name !== "" && isGood(x))
        ? (Object.fromEntries(numbers) as Readonly<Record<string, number>>)
        : undefined;
    },
  });
}

/** A text for each of some names: `name=text` words, or such with commas between, or a mapping in a configuration. */
export function textsByName(given: Common & { wanted: string }): Option<Readonly<Record<string, string>>> {
  return option<Readonly<Record<string, string>>>({
    ...given,
    placeholder: "name=text",
    fallback: {},
    several: true,
    read(value) {
      const words: unknown[] = Array.isArray(value) ? value : [value];
      const entries = isObject(value)
        ? Object.entries(value)
        : readPairs(words.flatMap((word) => splitNames(plainText(word))));
      const isGood = ([name, text]: readonly [string, unknown]) =>
        name !== "" && readText(text) !== undefined;
      const isAll = entries !== undefined && entries.length > 0 && entries.every(isGood);
      return isAll ? (Object.fromEntries(entries) as Readonly<Record<string, string>>) : undefined;
    },
  });
}

/** Numbers or words for each of some names, written as {@link numbersByName} are. */
export function optionsByName(
  given: Common & { wanted: string; accepts: (name: string, value: number | string) => boolean },
): Option<Readonly<Record<string, number | string>>> {
  return option<Readonly<Record<string, number | string>>>({
    ...given,
    placeholder: "name=value",
    fallback: {},
    several: true,
    read(value) {
      const entries = isObject(value) ? Object.entries(value) : readPairs(value);
      const read = entries?.map(([name, text]) => [name, readNumber(text) ?? String(text)] as const);
      const isGood = read?.every(([name, value]) => given.accepts(name, value));
      return isGood
        ? (Object.fromEntries(read ?? []) as Readonly<Record<string, number | string>>)
        : undefined;
    },
  });
}

/** The entries of `name=number` words, or of one JSON object; undefined where a name is there twice. */
function readPairs(value: unknown): [string, unknown][] | undefined {
  const words: unknown[] = Array.isArray(value) ? value : [value];
  const [first] = words;
  if (words.length === 1 && typeof first === "string" && first.trim().startsWith("{")) {
    return readJsonEntries(first);
  }
  const pairs = words.map((word): [string, unknown] => {
    const [, name = "", number] = /^(.*)=([^=]*)$/s.exec(plainText(word)) ?? [];
    return [name, number];
  });
  return new Set(pairs.map(([name]) => name)).size === pairs.length ? pairs : undefined;
}

function readJsonEntries(text: string): [string, unknown][] | undefined {
  try {
    const json = parseJson(text, "JSON");
    return isObject(json) ? Object.entries(json) : undefined;
  } catch {
    return undefined;
  }
}

/** Names of modules, an expression that matches whole paths, or `all-linear`; as PEFT's `target_modules`. */
export function targets<T extends string | undefined>(
  given: Common & { fallback: T },
): Option<readonly string[] | string | T> {
  return option<readonly string[] | string | T>({
    ...given,
    placeholder: "names",
    several: true,
    wanted: "names (q_proj,v_proj), an expression, or all-linear",
    read(value) {
      const list = Array.isArray(value) ? value : [value];
      if (list.length === 0 || !list.every((item) => readText(item) !== undefined)) return undefined;
      return list.length === 1 ? readTargets(list[0] as string) : list.flatMap(splitNames);
    },
  });
}

/** A single word in letters is a name and no expression: as an expression it could only match a whole path. */
function readTargets(text: string): readonly string[] | string {
  if (text.toLowerCase() === "all-linear") return text;
  return /^[\w.-]+(\s*,\s*[\w.-]+)*,?$/.test(text.trim()) ? splitNames(text) : text;
}

function splitNames(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function readText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function readNumber(value: unknown): number | undefined {
  const x = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof x === "number" && Number.isFinite(x) ? x : undefined;
}
