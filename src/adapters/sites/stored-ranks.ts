import { type Pattern, patternMatcher } from "../../util/module-patterns.ts";
import type { Note } from "../codec.ts";
import { listed } from "../stored-tensors.ts";
import { peftPatterns, type RankAndAlpha, unmatchedKeys } from "./patterns.ts";
import type { RankOptions } from "./rank-patterns.ts";

// rank_pattern and alpha_pattern in files of adapters.

/** What of the patterns matches none of the adapted layers, one line each: most are mistyped names. */
export function uselessKeys(
  { rankPattern, alphaPattern }: Pick<RankOptions, "rankPattern" | "alphaPattern">,
  paths: readonly string[],
): string[] {
  const describe = (field: string, pattern: Pattern) =>
    unmatchedKeys(pattern, paths).map((key) => `${JSON.stringify(key)} of ${field} matches no adapted layer`);
  return [...describe("rank_pattern", rankPattern), ...describe("alpha_pattern", alphaPattern)];
}

/** Fields of PEFT's configuration. */
export interface PatternFields {
  rank_pattern: Pattern;
  alpha_pattern: Pattern;
}

/**
 * Compares the ranks of stored tensors with the configuration. The rank of a tensor may be that of any entry of
 * rank_pattern that matches: PEFT sorts the entries on saving, which loses the order that decides between them.
 * @returns warnings
 */
export function checkRanks(
  ranks: readonly (readonly [path: string, r: number])[],
  config: Pick<PatternFields, "rank_pattern"> & { readonly r: number },
  note: Note,
): string[] {
  const ranksOf = patternMatcher(config.rank_pattern);
  const reordered: string[] = [];
  for (const [path, r] of ranks) {
    const candidates = ranksOf(path);
    const wanted = candidates[0] ?? config.r;
    if (r === wanted) continue;
    if (candidates.includes(r)) reordered.push(path);
    else note("the rank differs from r and rank_pattern", `${path} (${r}, configured ${wanted})`);
  }
  if (reordered.length === 0) return [];
  return [
    `several keys of rank_pattern match and the first is wrong; the tensors decided: ${listed(reordered)}`,
  ];
}

/** Patterns that match nothing, and modules whose alpha hangs on the order of the keys. */
export function patternWarnings(config: PatternFields, paths: readonly string[]): string[] {
  const warnings = (["rank_pattern", "alpha_pattern"] as const).flatMap((field) =>
    unmatchedKeys(config[field], paths).map(
      (key) => `adapter_config.json: the key ${JSON.stringify(key)} of ${field} matches no module`,
    ),
  );
  const alphas = patternMatcher(config.alpha_pattern);
  const unclear = paths.filter((path) => new Set(alphas(path)).size > 1);
  if (unclear.length > 0) {
    const text =
      "adapter_config.json: several keys of alpha_pattern match, of which the first counts, as in PEFT";
    warnings.push(`${text}: ${listed(unclear)}`);
  }
  return warnings;
}

/** The given patterns where, in the order in which they are read, they give each module its own; else exact ones. */
export function fitting(
  given: PatternFields & { readonly r: number; readonly lora_alpha: number },
  ranks: ReadonlyMap<string, RankAndAlpha>,
  ordered = (pattern: Pattern) => pattern,
): PatternFields {
  const { rank_pattern, alpha_pattern, r, lora_alpha } = given;
  const exact = peftPatterns(given, ranks);
  return {
    rank_pattern: gives(ordered(rank_pattern), r, ranks, "r") ? rank_pattern : exact.rank_pattern,
    alpha_pattern: gives(ordered(alpha_pattern), lora_alpha, ranks, "alpha")
      ? alpha_pattern
      : exact.alpha_pattern,
  };
}

/** Whether a pattern, or the usual value where it says nothing, gives each module its rank or alpha. */
function gives(
  pattern: Pattern,
  usual: number,
  wanted: ReadonlyMap<string, RankAndAlpha>,
  key: keyof RankAndAlpha,
): boolean {
  const matcher = patternMatcher(pattern);
  return [...wanted].every(([path, values]) => (matcher(path)[0] ?? usual) === values[key]);
}
