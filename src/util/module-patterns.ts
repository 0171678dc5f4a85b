import { type Budget, pythonMatch } from "./regexp/python.ts";

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
  const matcherOf = keyMatchers();
  const entries = Object.entries(pattern).map(([key, value]) => ({ matches: matcherOf(key), value }));
  return (path) => entries.filter(({ matches }) => matches(path)).map(({ value }) => value);
}

/** Steps that all keys of a pattern may take together: a second. */
const STEPS = 20_000_000;

/** The path or name that a key stands for, where it is nothing but that: most are, as PEFT and we write them. */
const PLAIN = /^(\^?)((?:\w|\\\.)+)$/;

/**
 * Gives for each key of a pattern what says whether it matches a path.
 * @throws LoraError, as what it gives does, for a key that is no expression, and where the keys take too many steps
 */
export function keyMatchers(): (key: string) => (path: string) => boolean {
  const budget: Budget = { steps: STEPS };
  return (key) => {
    const [plain, anchor, escaped = ""] = PLAIN.exec(key) ?? [];
    const name = escaped.replaceAll("\\.", ".");
    if (plain !== undefined) return (path) => path === name || (anchor === "" && path.endsWith(`.${name}`));
    const match = pythonMatch(`(.*\\.)?(${key})$`, key, budget);
    return (path) => match(path) !== undefined;
  };
}
