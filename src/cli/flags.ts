import { type Command, Option as Flag, Help } from "commander";
import { nearest } from "../util/nearest.ts";
import type { Option, OptionTable } from "./options.ts";
import { allNames, flagName, type GivenValue, keyOf } from "./settings.ts";

/** Above options that only go with some values of others, in the help. */
const OTHERS = "Options of the method:";

/** A switch takes `true` or `false` too, as TRL's do; the help need not say so. */
const SWITCH_VALUE = " [bool]";

/**
 * Gives a command one flag for each name in some tables; aliases work but have no line of their own in the help.
 * @param described the table whose options the help lists, once the words before `--help` are read
 */
export function addFlags(
  command: Command,
  tables: readonly OptionTable[],
  described: () => OptionTable = () => tables[0] ?? {},
): void {
  command.showSuggestionAfterError(false); // commander's own knows no aliases
  command.configureOutput({ outputError: (text, write) => write(withSuggestion(text, tables)) });
  const flags = new Set<Flag>();
  for (const [name, options] of optionsByName(tables)) {
    const flag = new Flag(`${flagName(name)}${sharedValuePart(options)}`);
    flags.add(flag);
    command.addOption(flag);
    if (options.some(({ placeholder }) => placeholder === undefined)) {
      command.addOption(new Flag(`--no-${flagName(name).slice(2)}`).hideHelp());
    }
  }
  command.configureHelp({
    optionTerm: (flag) => flag.flags.replace(SWITCH_VALUE, ""),
    visibleOptions(asked) {
      const others = new Help().visibleOptions(asked).filter((flag) => !flags.has(flag));
      const [own = {}] = tables;
      const shown = Object.entries(described()).map(([key, option]) => {
        const flag = new Flag(`${flagName(key)}${valuePart(option)}`, helpOf(option));
        return Object.hasOwn(own, key) ? flag : flag.helpGroup(OTHERS);
      });
      return [...shown, ...others];
    },
  });
}

/** The options that each name or alias stands for in some tables. */
function optionsByName(tables: readonly OptionTable[]): Map<string, Option<unknown>[]> {
  const found = new Map<string, Option<unknown>[]>();
  for (const [key, option] of tables.flatMap((table) => Object.entries(table))) {
    for (const name of [key, ...option.aliases]) found.set(name, [...(found.get(name) ?? []), option]);
  }
  return found;
}

/** A flag whose value is now this and now that is read as it stands; alone it is `true`. */
function sharedValuePart(options: readonly Option<unknown>[]): string {
  const parts = new Set(options.map(valuePart));
  const [only = ""] = parts;
  if (parts.size === 1) return only;
  const [one] = options;
  if (options.every(({ several }) => several === one?.several)) {
    const isAlone = options.some(({ placeholder, bare }) => placeholder === undefined || bare);
    return isAlone ? " [value]" : one?.several ? " <values...>" : " <value>";
  }
  return " [values...]";
}

/** The values of the flags on the command line. */
export function givenFlags(command: Command, table: OptionTable): GivenValue[] {
  return [...new Set(allNames(table))].flatMap((alias) => {
    const name = flagName(alias);
    const value: unknown = command.getOptionValue(new Flag(name).attributeName());
    return value === undefined ? [] : [{ key: keyOf(table, alias) as string, name, value }];
  });
}

/** TRL's flags have underscores: `--learning_rate` is read as `--learning-rate`. */
export function dashedFlags(words: readonly string[]): string[] {
  return words.map((word) => word.replace(/^--[a-z][a-z0-9_]*(?==|$)/, (name) => name.replaceAll("_", "-")));
}

function valuePart({ placeholder, several, bare }: Option<unknown>): string {
  if (bare) return ` [${placeholder}]`;
  if (placeholder === undefined) return SWITCH_VALUE;
  return several ? ` <${placeholder}...>` : ` <${placeholder}>`;
}

function helpOf({ help, aliases, fallback, required }: Option<unknown>): string {
  const notes = [
    required ? "required" : "",
    hasDefault(fallback) ? `default: ${fallback}` : "",
    aliases.length > 0 ? `also ${aliases.map(flagName).join(", ")}` : "",
  ].filter((note) => note !== "");
  return notes.length > 0 ? `${help} (${notes.join("; ")})` : help;
}

/** A switch that is off, an option that is not set and an empty list need no mention. */
function hasDefault(fallback: unknown): boolean {
  return (
    typeof fallback === "number" || fallback === true || (typeof fallback === "string" && fallback !== "")
  );
}

function withSuggestion(error: string, tables: readonly OptionTable[]): string {
  const name = /unknown option '--([^'=]+)/.exec(error)?.[1];
  const meant = name === undefined ? undefined : nearest(name, tables.flatMap(allNames));
  return meant === undefined ? error : `${error}(Did you mean ${flagName(meant)}?)\n`;
}
