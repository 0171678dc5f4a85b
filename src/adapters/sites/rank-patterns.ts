import { failAll } from "../../util/fail.ts";
import { type Pattern, patternMatcher } from "../../util/module-patterns.ts";
import type { Rule } from "../../util/options.ts";
import type { RankAndAlpha } from "./patterns.ts";

// rankPattern and alphaPattern, of the methods that have a rank for each layer.

/** Options that give each layer its rank and alpha. */
export interface RankOptions extends RankAndAlpha {
  readonly rankPattern: Pattern;
  readonly alphaPattern: Pattern;
}

/**
 * Rank and alpha by module path.
 * @throws LoraError for entries that are not wanted and keys that are no expressions
 */
export function ranksBy(
  where: string,
  { r, alpha, rankPattern, alphaPattern }: RankOptions,
  rules: { readonly r: Rule; readonly alpha: Rule },
): (path: string) => RankAndAlpha {
  failAll(where, [
    ...wrongEntries("rankPattern", rankPattern, rules.r),
    ...wrongEntries("alphaPattern", alphaPattern, rules.alpha),
  ]);
  const [ranks, alphas] = [patternMatcher(rankPattern), patternMatcher(alphaPattern)];
  return (path) => ({ r: ranks(path)[0] ?? r, alpha: alphas(path)[0] ?? alpha });
}

function wrongEntries(name: string, pattern: Pattern, { accepts, wanted }: Rule): string[] {
  return Object.entries(pattern)
    .filter(([, value]) => !accepts(value))
    .map(([key, value]) => `${name}[${JSON.stringify(key)}] is ${value}, wanted ${wanted}`);
}
