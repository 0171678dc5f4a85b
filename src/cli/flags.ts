import { type Command, Option as Flag } from "commander";
import { nearest } from "../util/nearest.ts";
import type { Option, OptionTable } from "./options.ts";
import { allNames, flagName, type GivenValue, keyOf } from "./settings.ts";

/** A switch takes `true` or `false` too, as TRL's do; the help need not say so. */
const SWITCH_VALUE = " [bool]";

/** Gives a command one flag for each option of a table; aliases work but have no line of their own. */
export function addFlags(command: Command, table: OptionTable): void {
  command.showSuggestionAfterError(false); // commander's own knows no aliases
  command.configureOutput({ outputError: (text, write) => write(withSuggestion(text, table)) });
  command.configureHelp({ optionTerm: (flag) => flag.flags.replace(SWITCH_VALUE, "") });
  for (const [key, option] of Object.entries(table)) {
    command.addOption(new Flag(`${flagName(key)}${valuePart(option)}`, helpOf(option)));
    for (const alias of option.aliases) {
      command.addOption(new Flag(`${flagName(alias)}${valuePart(option)}`).hideHelp());
    }
    if (option.placeholder === undefined) addNegations(command, [key, ...option.aliases]);
  }
}

/** The values of the flags on the command line. */
export function givenFlags(command: Command, table: OptionTable): GivenValue[] {
  return allNames(table).flatMap((alias) => {
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

function addNegations(command: Command, names: readonly string[]): void {
  for (const name of names) command.addOption(new Flag(`--no-${flagName(name).slice(2)}`).hideHelp());
}

function withSuggestion(error: string, table: OptionTable): string {
  const name = /unknown option '--([^'=]+)/.exec(error)?.[1];
  const meant = name === undefined ? undefined : nearest(name, allNames(table));
  return meant === undefined ? error : `${error}(Did you mean ${flagName(meant)}?)\n`;
}
