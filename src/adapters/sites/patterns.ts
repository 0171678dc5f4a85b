import { compareCodePoints } from "../../util/code-points.ts";
import { LoraError } from "../../util/fail.ts";
import { keyMatchers, type Pattern } from "../../util/module-patterns.ts";
import { escapeRegExp } from "../../util/regexp/python.ts";

/** Rank and alpha of one module. */
export interface RankAndAlpha {
  readonly r: number;
  readonly alpha: number;
}

/** The pattern with its keys in the order in which PEFT and we write them, and PEFT reads them back. */
export function sortedPattern(pattern: Pattern): Pattern {
  return Object.fromEntries(Object.entries(pattern).sort(([a], [b]) => compareCodePoints(a, b)));
}

/** The keys that match none of the paths. */
export function unmatchedKeys(pattern: Pattern, paths: readonly string[]): string[] {
  const matcherOf = keyMatchers();
  return Object.keys(pattern).filter((key) => !paths.some(matcherOf(key)));
}

/** What is wrong with a pattern of a configuration: keys that are no expressions, values that are not wanted. */
export function patternProblems(
  name: string,
  pattern: Readonly<Record<string, unknown>>,
  accepts: (value: unknown) => boolean,
  wants: string,
): string[] {
  return Object.entries(pattern).flatMap(([key, value]) => {
    const problems = keyProblems(name, key);
    const field = `${name}[${JSON.stringify(key)}]`;
    if (!accepts(value)) problems.push(`${field} is ${JSON.stringify(value)}, expected ${wants}`);
    return problems;
  });
}

/**
 * rank_pattern and alpha_pattern of modules some of which differ from the default. Each key matches one module:
 * its whole path, escaped and anchored. PEFT sorts the keys on saving and takes the first that matches on loading,
 * so that overlapping keys would not survive (PEFT 0.21.0 fails on its own file).
 * @param defaults what the configuration says in `r` and `lora_alpha`
 * @param modules rank and alpha by module path, such as `model.layers.0.self_attn.q_proj`
 */
export function peftPatterns(
  defaults: { readonly r: number; readonly lora_alpha: number },
  modules: ReadonlyMap<string, RankAndAlpha>,
): { rank_pattern: Pattern; alpha_pattern: Pattern } {
  const differing = (value: (module: RankAndAlpha) => number, usual: number) =>
    Object.fromEntries(
      [...modules]
        .filter(([, module]) => value(module) !== usual)
        .map(([path, module]) => [`^${escapeRegExp(path)}`, value(module)]),
    );
  return {
    rank_pattern: differing(({ r }) => r, defaults.r),
    alpha_pattern: differing(({ alpha }) => alpha, defaults.lora_alpha),
  };
}

function keyProblems(name: string, key: string): string[] {
  try {
    keyMatchers()(key);
    return [];
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    return [`${name}: ${error.message}`];
  }
}
