import type { Expression } from "./expression.ts";
import { javaScript } from "./java-script.ts";
import { isLinear } from "./linear.ts";
import { Matcher } from "./matcher.ts";

/** A part of a text: indices of UTF-16 units, the end not included. */
export type Span = readonly [start: number, end: number];

/**
 * Makes a function that finds all matches of an expression in a text, in time that grows with the text's length whatever
 * the expression: JavaScript's own engine does it where each of its attempts is certain to end in time.
 * @throws ExpressionError where the expression is too large
 */
export function finder(expression: Expression): (text: string) => Iterable<Span> {
  const matcher = new Matcher(expression);
  if (!isLinear(expression)) return (text) => matcher.matches(text);
  const native = new RegExp(javaScript(expression), "vy");
  return (text) => nativeMatches(native, text, matcher);
}

/** What JavaScript's engine may take, far more than it does: the start, and for each character. */
const [PATIENCE_MS, PATIENCE_MS_PER_CHARACTER] = [50, 2e-3];

/**
 * Attempts that are linear each can take a time that grows with the square: `\s+x` reads a run of spaces from each of
 * them. Who sees that goes on with the other engine, which finds the same.
 */
function* nativeMatches(native: RegExp, text: string, matcher: Matcher): Generator<Span> {
  const began = performance.now();
  for (let at = 0, attempts = 1; at <= text.length; attempts++) {
    if (attempts % 64 === 0 && performance.now() - began > PATIENCE_MS + at * PATIENCE_MS_PER_CHARACTER) {
      yield* matcher.matches(text, at);
      return;
    }
    native.lastIndex = at;
    const end = native.test(text) ? native.lastIndex : -1;
    if (end >= 0) yield [at, end];
    at = end > at ? end : at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
  }
}
