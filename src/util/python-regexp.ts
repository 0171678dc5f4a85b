import { fail } from "./fail.ts";
import { emitPattern } from "./python-regexp-emitter.ts";
import { parsePattern } from "./python-regexp-parser.ts";
import { PatternError } from "./python-regexp-syntax.ts";

/**
 * Python's `re.match`: what an expression of Python's `re` finds at the start of a text. It is translated, so that it
 * matches the texts that it does in Python 3.11: their letters, digits and spaces, flags of the whole and of
 * parts, possessive and atomic groups, anchors, octal and other escapes.
 * @param shown what messages call it
 * @throws LoraError where Python refuses it, or naming what has no exact form in JavaScript: conditionals, references to
 * groups that may not have matched, letters beyond ASCII without regard to case, named characters.
 */
export function pythonMatch(source: string, shown = source): (text: string) => RegExpExecArray | null {
  return matcher(source, (body) => body, shown);
}

/** Python's `re.fullmatch`. @throws LoraError as {@link pythonMatch} does. */
export function pythonFullMatch(source: string): (text: string) => boolean {
  const match = matcher(source, (body) => `(?:${body})(?![^])`, source);
  return (text) => match(text) !== null;
}

/** Text as an expression that matches just this text. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function matcher(
  source: string,
  frame: (body: string) => string,
  shown: string,
): (text: string) => RegExpExecArray | null {
  const expression = new RegExp(frame(translated(source, shown)), "uy");
  return (text) => {
    expression.lastIndex = 0;
    return expression.exec(text);
  };
}

function translated(source: string, shown: string): string {
  try {
    return emitPattern(parsePattern(source));
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const help = "it must be a regular expression of Python's that has an exact form here";
    return fail(`the pattern ${JSON.stringify(shown)}`, error.message, help);
  }
}
