import type { AnyKind } from "../adapters/codec.ts";
import type { Method } from "../adapters/method.ts";
import type { MethodOption, ValueKind } from "../adapters/method-options.ts";
import { METHODS } from "../adapters/methods.ts";
import { fail, failAll } from "../util/fail.ts";
import {
  choice,
  flag,
  integer,
  integers,
  number,
  numbersByName,
  type Option,
  type OptionTable,
  readBy,
  targets,
  text,
  texts,
} from "./options.ts";
import { flagName, type GivenValue, keyOf } from "./settings.ts";

/** What each kind of value is on the command line. */
const OPTION_OF: {
  readonly [K in ValueKind["is"]]: (
    value: Extract<ValueKind, { is: K }>,
    given: { help: string; aliases: readonly string[] },
  ) => Option<unknown>;
} = {
  number: ({ bounds }, given) => number({ ...given, ...bounds, fallback: undefined }),
  whole: ({ min }, given) => integer({ ...given, min, fallback: undefined }),
  switch: (_, given) => flag({ ...given, fallback: false }),
  choice: ({ choices }, given) => choice({ ...given, choices, fallback: undefined }),
  text: ({ placeholder }, given) => text({ ...given, placeholder, fallback: "" }),
  texts: ({ placeholder }, given) => texts({ ...given, placeholder }),
  targets: (_, given) => targets({ ...given, fallback: undefined }),
  wholes: ({ min }, given) => integers({ ...given, min }),
  "numbers by name": ({ wanted, accepts }, given) => numbersByName({ ...given, wanted, accepts }),
  read: (value, given) => readBy({ ...given, ...value, fallback: undefined }),
};

function optionOf({ value, help, fallback, required = false, aliases = [] }: MethodOption): Option<unknown> {
  // The table has a function for each kind, and this one is for the kind of the value.
  const make = OPTION_OF[value.is] as (typeof OPTION_OF)["read"];
  const option = make(value as Extract<ValueKind, { is: "read" }>, { help, aliases });
  return { ...option, required, ...(fallback !== undefined ? { fallback } : EMPTY[value.is]) };
}

/** What stands for "not given" where a method has no default: nothing, or nothing in it. */
const EMPTY: Readonly<Partial<Record<ValueKind["is"], { fallback: unknown }>>> = {
  switch: { fallback: undefined },
  text: { fallback: undefined },
};

/** The options of a method. */
export function methodTable({ options }: AnyKind): OptionTable {
  return Object.fromEntries(Object.entries(options).map(([name, option]) => [name, optionOf(option)]));
}

/** The names that `--method` takes. */
export const METHOD_NAMES: readonly string[] = METHODS.map(({ name }) => name);

/** Which method is trained. */
export const METHOD = {
  ...choice({
    choices: METHOD_NAMES,
    synonyms: new Map(METHODS.map(({ type, name }) => [type, name])),
    fallback: "lora",
    help: `how the model is adapted: ${METHOD_NAMES.join(", ")}; train --help --method NAME lists its options`,
    aliases: ["peft_type"],
  }),
  placeholder: "name",
};

/** The method of a name, in PEFT's capitals or not. */
export function kindNamed(name: string): AnyKind {
  return METHODS.find((kind) => kind.name === name) ?? fail("method", `${name} is unknown`);
}

/** The method that settings ask for. */
export function methodOf(name: string, settings: Readonly<Record<string, unknown>>): Method {
  const { options, make } = kindNamed(name);
  const entries = Object.entries(options).map(([key, { sets }]) => [sets, settings[key]] as const);
  return make(Object.fromEntries(entries.filter(([, value]) => !isNothing(value))) as never);
}

/** What is not given stays away, for an empty list of layers would mean something else. */
function isNothing(value: unknown): boolean {
  if (value === undefined) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** What the user gave, by where it comes from. */
export type Sources = readonly (readonly GivenValue[])[];

/** The table that holds for some values, and the values by its keys. */
export interface Narrowed<T extends OptionTable> {
  readonly table: T;
  readonly sources: Sources;
}

/** A command's table with the options of the method that is asked for: the default's where there is none of that name. */
export function tableWith<T extends OptionTable>(plain: T, method: unknown): T {
  return { ...plain, ...methodTable(kindNamed(nameOf(method))) };
}

/** A wrong name is told when the values are read. */
const nameOf = (method: unknown): string => METHOD.read(method) ?? METHOD.fallback;

/**
 * A command's table with the options of the method that is asked for. The values may have keys of other methods.
 * @throws LoraError for options that it has not, with the methods that have them, and for any where an adapter is resumed
 */
export function withMethod<T extends OptionTable>(plain: T, sources: Sources): Narrowed<T> {
  const all = sources.flat();
  const given = all.filter(({ isDefault }) => !isDefault);
  const name = nameOf(all.findLast(({ key }) => key === "method")?.value);
  const table = tableWith(plain, name);
  // Defaults that a configuration pins may be those of another method.
  const keyed = sources.map((source) =>
    source
      .map((value) => ({ ...value, key: keyIn(table, value) }))
      .filter(({ key, isDefault }) => key !== undefined || !isDefault),
  );
  const isResumed = given.some(({ key }) => key === "resume_adapter_file");
  if (isResumed) checkResumed(given.filter(({ key }) => key === "method" || !Object.hasOwn(plain, key)));
  const foreign = given.filter((value) => keyIn(table, value) === undefined);
  const problems = foreign.map((value) => `${value.name} is an option of ${namesOf(value)}, not of ${name}`);
  failAll("method", problems, `train --help --method ${name} lists its options`);
  return { table, sources: keyed as GivenValue[][] };
}

/** An adapter has a method and options already. */
function checkResumed(given: readonly GivenValue[]): void {
  const problems = given.map(({ key }) => `${key} comes from the adapter that is resumed`);
  const flags = given.map(({ key }) => flagName(key)).join(", ");
  failAll("resume_adapter_file", problems, `leave out ${flags}`);
}

/** The methods that have such an option. */
function namesOf(value: GivenValue): string {
  const kinds = METHODS.filter((kind) => keyIn(methodTable(kind), value) !== undefined);
  return kinds.map(({ name }) => name).join(", ");
}

/** What a table calls a value: by the name that the user wrote, or by the key that a configuration gave it. */
function keyIn(table: OptionTable, { name, key }: GivenValue): string | undefined {
  return keyOf(table, name.replace(/^--/, "")) ?? (Object.hasOwn(table, key) ? key : undefined);
}
