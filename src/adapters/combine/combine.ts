import { norm } from "../../util/linalg/matrix.ts";
import { type Svd, truncated } from "../../util/linalg/svd.ts";
import { topSvd } from "../../util/linalg/top-svd.ts";
import type { Random } from "../../util/random.ts";
import { clampFactors } from "./clamp.ts";
import { combineElements, type ElementOptions, type ElementRule, type MajoritySign } from "./elementwise.ts";
import { concatenated, denseChange, fromSvd, type LowRank, type Part, svdOfSum } from "./low-rank.ts";

/** What is combined: lora_A and lora_B each for itself, their ranks one after the other, or the changes ΔW. */
interface Kind extends ElementRule {
  readonly of: "factors" | "ranks" | "changes";
}

/** PEFT's combination types (`LoraModel.add_weighted_adapter`). */
const KINDS = {
  cat: { of: "ranks" },
  linear: { of: "factors" },
  svd: { of: "changes" },
  ties: { of: "factors", prune: "magnitude", elects: true },
  ties_svd: { of: "changes", prune: "magnitude", elects: true },
  dare_linear: { of: "factors", prune: "random" },
  dare_linear_svd: { of: "changes", prune: "random" },
  dare_ties: { of: "factors", prune: "random", elects: true },
  dare_ties_svd: { of: "changes", prune: "random", elects: true },
  magnitude_prune: { of: "factors", prune: "magnitude" },
  magnitude_prune_svd: { of: "changes", prune: "magnitude" },
} as const satisfies Readonly<Record<string, Kind>>;

/** How adapters are combined: PEFT's names. */
export type CombinationType = keyof typeof KINDS;

export const COMBINATION_TYPES = Object.keys(KINDS) as readonly CombinationType[];

/** What a combination type does, for checks and help. */
export function kindOf(type: CombinationType): Kind {
  return KINDS[type];
}

/** How one layer's changes are combined. */
export interface LayerCombination {
  readonly type: CombinationType;
  /**
   * Of types that end in svd: the rank of the result; or, below 1 and for `svd` alone, the share of the squared norm that
   * the smallest sufficient rank keeps. By default the largest rank of the parts.
   */
  readonly rank?: number | undefined;
  /** Of types that end in svd: the quantile of all values of A and B that these are cut off at. */
  readonly clamp?: number | undefined;
  /** Share of the values that pruning keeps. */
  readonly density?: number | undefined;
  /** `total` by default. */
  readonly majoritySign?: MajoritySign | undefined;
  readonly random: Random;
  /** Instead of `random`: which of so many values DARE keeps. */
  readonly draw?: ElementOptions["draw"];
}

/** A combined layer. */
export interface CombinedLayer {
  readonly change: LowRank;
  /**
   * ‖ΔW − wanted‖ / ‖wanted‖ in Frobenius' norm; wanted is the weighted sum for `linear`, what the rank cuts off from for
   * types that end in svd. Undefined for types that are after something else; 0 for `cat`.
   */
  readonly error?: number;
}

/** Combines the changes of one layer. They have one shape, and for types that combine the factors one rank, too. */
export function combineLayer(parts: readonly Part[], options: LayerCombination): CombinedLayer {
  const kind = kindOf(options.type);
  if (kind.of === "ranks") return { change: concatenated(parts), error: 0 };
  if (kind.of === "factors") return combineFactors(parts, kind, options);
  const whole =
    kind.prune === undefined ? exactSum(parts, options.rank) : combineChanges(parts, kind, options);
  const kept = truncated(whole.parts, whole.rank);
  const change = fromSvd(kept);
  const lost = Math.sqrt(Math.max(0, whole.squares - sumOfSquares(kept.S)) / (whole.squares || 1));
  return { change: options.clamp === undefined ? change : clampFactors(change, options.clamp), error: lost };
}

/**
 * The sign of a negative weight goes to A alone, its root to both. Products of one part's A and another's B come in, too:
 * this is PEFT's approximation.
 */
function combineFactors(parts: readonly Part[], kind: Kind, options: LayerCombination): CombinedLayer {
  const first = parts[0]!.change;
  const scales = parts.map(({ change, weight }) => weight * change.scale);
  const roots = scales.map((scale) => Math.sqrt(Math.abs(scale)));
  const signed = roots.map((root, i) => (scales[i]! < 0 ? -root : root));
  const elements = elementOptions(options);
  const combined = (name: "A" | "B", weights: readonly number[]) =>
    combineElements(
      parts.map(({ change }) => change[name]),
      weights,
      kind,
      elements,
    );
  const change = { ...first, A: combined("A", signed), B: combined("B", roots), scale: 1 };
  return kind.prune === undefined ? { change, error: distance(change, parts) } : { change };
}

/** ‖ΔW − Σ weight · ΔW‖ / ‖Σ weight · ΔW‖. */
function distance(change: LowRank, parts: readonly Part[]): number {
  const difference = svdOfSum([
    { change, weight: 1 },
    ...parts.map((part) => ({ ...part, weight: -part.weight })),
  ]);
  return norm(difference.S) / (norm(svdOfSum(parts).S) || 1);
}

/** What is to be cut down to a rank. */
interface Whole {
  readonly parts: Svd;
  readonly rank: number;
  /** The sum of the squares of all singular values. */
  readonly squares: number;
}

function exactSum(parts: readonly Part[], rank = largestRank(parts)): Whole {
  const all = svdOfSum(parts);
  return {
    parts: all,
    rank: rank < 1 ? rankFor(all.S, rank * sumOfSquares(all.S)) : rank,
    squares: sumOfSquares(all.S),
  };
}

function combineChanges(parts: readonly Part[], kind: Kind, options: LayerCombination): Whole {
  const { inFeatures: cols, outFeatures: rows } = parts[0]!.change;
  const values = combineElements(
    parts.map(({ change }) => denseChange(change)),
    parts.map(({ weight }) => weight),
    kind,
    elementOptions(options),
  );
  const { rank = largestRank(parts), random } = options;
  return { parts: topSvd({ rows, cols, values }, rank, random), rank, squares: norm(values) ** 2 };
}

function elementOptions({
  density = 1,
  majoritySign = "total",
  random,
  draw,
}: LayerCombination): ElementOptions {
  const byChance = (length: number) => Uint8Array.from({ length }, () => Number(random.uniform() < density));
  return { density, majoritySign, draw: draw ?? byChance };
}

function largestRank(parts: readonly Part[]): number {
  return parts.reduce((most, { change }) => Math.max(most, change.r), 1);
}

/** The smallest rank that keeps so much of the squared norm; PEFT's `convert_to_lora` with a float as the rank. */
export function rankFor(S: Float64Array, wanted: number): number {
  let sum = 0;
  const place = S.findIndex((value) => {
    sum += value * value;
    return sum >= wanted;
  });
  return place < 0 ? S.length : place + 1;
}

function sumOfSquares(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}
