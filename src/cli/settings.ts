import { append } from "../util/arrays.ts";
import { failAll } from "../util/fail.ts";
import { nearest } from "../util/nearest.ts";
import type { OptionTable, Settings } from "./options.ts";

/** A value that the user gave, by flag or in a configuration. */
export interface GivenValue {
  /** The option's name in its table. */
  readonly key: string;
  /** As the user wrote it: `--iters`, `lora_parameters.rank`. */
  readonly name: string;
  readonly value: unknown;
  /** It holds where nothing is given, and counts as not given. */
  readonly isDefault?: boolean;
}

/** The settings of a run, and which of them the user gave. */
export interface Settled<T extends OptionTable> {
  readonly settings: Settings<T>;
  readonly given: ReadonlySet<keyof T>;
}

/** The option that a name or alias stands for; `-` and `_` are the same. */
export function keyOf(table: OptionTable, name: string): string | undefined {
  const plain = snakeCase(name);
  if (Object.hasOwn(table, plain)) return plain;
  return Object.keys(table).find((key) => table[key]?.aliases.includes(plain));
}

/** Every name and alias of a table. */
export function allNames(table: OptionTable): string[] {
  return Object.entries(table).flatMap(([key, { aliases }]) => [key, ...aliases]);
}

/** What to say of a name that no option has. */
export function describeUnknown(table: OptionTable, name: string): string {
  const meant = nearest(name, allNames(table));
  return `${name} is unknown${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}

/**
 * Joins sources of values, the later of which win, and fills in the rest.
 * @throws LoraError listing every wrong value, every option that was given twice by different names, and every
 * missing one.
 */
export function settle<T extends OptionTable>(
  where: string,
  table: T,
  sources: readonly (readonly GivenValue[])[],
): Settled<T> {
  const problems = sources.flatMap((source) => [...wrongValues(table, source), ...givenTwice(source)]);
  const all = sources.flat();
  const inOrder = [...all.filter(({ isDefault }) => isDefault), ...all.filter(({ isDefault }) => !isDefault)];
  const winning = new Map(inOrder.map((value) => [value.key, value]));
  const values = new Map([...winning].map(([key, { value }]) => [key, value]));
  append(problems, missing(table, values));
  failAll(where, problems, "the command's --help describes each");
  const entries = Object.entries(table).map(([key, option]) => {
    return [key, values.has(key) ? option.read(values.get(key)) : option.fallback];
  });
  const given = [...winning.values()].filter(({ isDefault }) => !isDefault).map(({ key }) => key);
  return { settings: Object.fromEntries(entries) as Settings<T>, given: new Set(given) };
}

function wrongValues(table: OptionTable, source: readonly GivenValue[]): string[] {
  return source.flatMap(({ key, name, value }) => {
    const option = table[key];
    if (!option || option.read(value) !== undefined) return [];
    return [`${name} is ${JSON.stringify(value)}, wanted ${option.wanted}`];
  });
}

/** Two names of one option: which of them wins would be a guess. */
function givenTwice(source: readonly GivenValue[]): string[] {
  return [...groupByKey(source).values()]
    .filter((values) => values.length > 1)
    .map((values) => `${values.map(({ name }) => name).join(" and ")} are the same option; give one of them`);
}

function groupByKey(source: readonly GivenValue[]): Map<string, GivenValue[]> {
  const groups = new Map<string, GivenValue[]>();
  for (const value of source.filter(({ isDefault }) => !isDefault))
    groups.set(value.key, [...(groups.get(value.key) ?? []), value]);
  return groups;
}

function missing(table: OptionTable, values: ReadonlyMap<string, unknown>): string[] {
  return Object.entries(table)
    .filter(([key, { required }]) => required && !values.has(key))
    .map(
      ([key, { placeholder }]) => `${key} is missing; give ${flagName(key)} ${placeholder?.toUpperCase()}`,
    );
}

/** `max_length` → `--max-length`. */
export function flagName(key: string): string {
  return `--${key.replaceAll("_", "-")}`;
}

function snakeCase(name: string): string {
  return name.replaceAll("-", "_");
}
