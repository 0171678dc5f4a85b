import { pythonMatch } from "./python-regexp.ts";

/** rank_pattern or alpha_pattern: a number for each expression. */
export type Pattern = Readonly<Record<string, number>>;

/** A pattern, ready for many module paths: gives the values of all entries that match; PEFT takes the first. */
export type PatternMatcher = (path: string) => number[];

/**
 * Compiles a pattern: an entry matches a path where Python's `re.match(r"(.*\.)?(KEY)$", path)` does, so it is
 * a whole path or its end after a dot (`get_pattern_key` in PEFT's `utils/other.py`).
 * @throws LoraError for a key that is no expression.
 */
export function patternMatcher(pattern: Pattern): PatternMatcher {
  const entries = Object.entries(pattern).map(([key, value]) => ({
    matches: keyMatcher(key),
    value,
  }));
  return (path) => entries.filter(({ matches }) => matches(path)).map(({ value }) => value);
}

/** Whether a key of a pattern matches a path. @throws LoraError for a key that is no expression. */
export function keyMatcher(key: string): (path: string) => boolean {
  const match = pythonMatch(`(.*\\.)?(${key})$`, key);
  return (path) => match(path) !== null;
}
