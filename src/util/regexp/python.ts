import { fail } from "../fail.ts";
import { ahead, type Expression, ExpressionError, sequence, set } from "./expression.ts";
import { type Budget, Matcher } from "./matcher.ts";
import { lowerPattern } from "./python-lowering.ts";
import { parsePattern } from "./python-parser.ts";
import { PatternError } from "./python-syntax.ts";

export type { Budget };

/** What an expression matches at the start of a text. */
export interface PythonMatch {
  /** Index behind the match. */
  readonly end: number;
  /** The text of a named group; undefined where it has not matched. */
  group(name: string): string | undefined;
}

/** Steps for one text: expressions of adapters take hundreds, lists of a thousand module names some ten thousand. */
const STEPS = 100_000;

/**
 * Python's `re.match`: what an expression of Python's `re` finds at the start of a text, as Python 3.11 does: its
 * letters, digits and spaces, flags of the whole and of parts, possessive and atomic groups, anchors, octal and other
 * escapes. No expression takes long: see {@link Matcher}.
 * @param shown what messages call it
 * @param budget steps that it shares with other expressions; unless given each text has its own
 * @throws LoraError where Python refuses it, or naming what has no exact form here: conditionals, letters beyond ASCII and
 * references without regard to case, named characters; when it is used, where it takes too many steps
 */
export function pythonMatch(
  source: string,
  shown = source,
  budget?: Budget,
): (text: string) => PythonMatch | undefined {
  return matcher(source, (body) => body, shown, budget);
}

/** Python's `re.fullmatch`. @throws LoraError as {@link pythonMatch} does. */
export function pythonFullMatch(source: string): (text: string) => boolean {
  const match = matcher(source, (body) => sequence(body, ahead(set("[^]"), true)), source);
  return (text) => match(text) !== undefined;
}

/** Text as an expression that matches just this text. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function matcher(
  source: string,
  frame: (body: Expression) => Expression,
  shown: string,
  shared?: Budget,
): (text: string) => PythonMatch | undefined {
  const refuse = (error: unknown, on = ""): never => {
    if (!(error instanceof PatternError || error instanceof ExpressionError)) throw error;
    const help = "it must be a regular expression of Python's that has an exact form here";
    return fail(`the pattern ${JSON.stringify(shown)}`, error.message + on, help);
  };
  const budget = shared ?? { steps: STEPS };
  let names: ReadonlyMap<string, number>;
  let expression: Matcher;
  try {
    const pattern = parsePattern(source);
    names = pattern.names;
    expression = new Matcher(frame(lowerPattern(pattern.node)), budget);
  } catch (error) {
    return refuse(error);
  }
  return (text) => {
    if (!shared) budget.steps = STEPS;
    try {
      const match = expression.matchStart(text);
      return match && { end: match.end, group: (name) => groupText(text, match.slots, names.get(name)) };
    } catch (error) {
      return refuse(error, ` for ${JSON.stringify(text)}`);
    }
  };
}

function groupText(text: string, slots: readonly number[], index: number | undefined): string | undefined {
  if (index === undefined) return undefined;
  const [start = -1, end = -1] = [slots[2 * index - 2], slots[2 * index - 1]];
  return start < 0 || end < 0 ? undefined : text.slice(start, end);
}
