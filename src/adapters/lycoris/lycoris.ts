import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import { fromArray, type Tensor } from "../../gpu/tensor.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import type { Wrap } from "../../nn/module.ts";
import type { Pattern } from "../../util/module-patterns.ts";
import { FACTOR, integer, number, objectOf, type Rules } from "../../util/options.ts";
import { createRandom, type Random } from "../../util/random.ts";
import type { Adaptable, Method, WrapGiven } from "../method.ts";
import { findSites, type SiteOptions, withoutConv1d } from "../sites/choose-sites.ts";
import type { RankAndAlpha } from "../sites/patterns.ts";
import { ranksBy } from "../sites/rank-patterns.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import { findWhole } from "../trained-whole.ts";

// What LoHa and LoKr have in common: Yeh et al. 2023, arXiv 2309.14859; PEFT `tuners/lycoris_utils.py`.

/** Options of the methods of LyCORIS; names and meaning as in PEFT, in camel case. */
export interface LycorisOptions extends Omit<SiteOptions, "targetModules"> {
  /** Rank of each product; 8 unless given. */
  r?: number;
  /** Numerator of the scale alpha / r; 8 unless given. */
  alpha?: number;
  /** Probability of leaving an output out of the update while training; 0 unless given. */
  rankDropout?: number;
  /** Probability of leaving a layer's whole update out while training; 0 unless given. */
  moduleDropout?: number;
  /** Names or suffixes of linear layers, a full-match regular expression, or `all-linear`, which is the default. */
  targetModules?: readonly string[] | string;
  /** Ranks other than `r`: by whole paths, their ends after a dot, or expressions for them; the first match counts. */
  rankPattern?: Pattern;
  /** Alphas other than `alpha`, in the same way. */
  alphaPattern?: Pattern;
}

/** PEFT's values; every linear layer, as for LoRA. */
export const LYCORIS_DEFAULTS = {
  r: 8,
  alpha: 8,
  rankDropout: 0,
  moduleDropout: 0,
  targetModules: "all-linear",
  rankPattern: {},
  alphaPattern: {},
} satisfies LycorisOptions;

const PATTERN = objectOf("an object of numbers by names or expressions");
const CHANCE = { min: 0, below: 1 };

/** What these options have to be. */
export const LYCORIS_RULES: Rules<LycorisOptions> = {
  r: integer({ min: 1 }, "rank"),
  alpha: number(FACTOR, "lora_alpha"),
  rankDropout: number(CHANCE, "rank_dropout"),
  moduleDropout: number(CHANCE, "module_dropout"),
  ...SITE_RULES,
  rankPattern: PATTERN,
  alphaPattern: PATTERN,
};

/** A method of these options, with all of them settled. */
export interface Lycoris extends Method {
  /** As given, with the defaults filled in. */
  readonly options: LycorisOptions & Required<Pick<LycorisOptions, keyof typeof LYCORIS_DEFAULTS>>;
  /** Rank and alpha of one module. */
  rankOf(path: string): RankAndAlpha;
}

/**
 * What the options choose: ranks and alphas, layers, and what is trained whole.
 * @throws LoraError for patterns that are no expressions; of layers for those that PEFT has no such adapter for, too
 */
export function lycorisChoice(where: string, options: Lycoris["options"], rules: Rules<LycorisOptions>) {
  const rankOf = ranksBy(where, options, rules);
  return {
    rankOf,
    sites: (model: Adaptable): Linear[] =>
      withoutConv1d(where, findSites(where, model, options, isLinear), "lora"),
    saved: (model: Adaptable) => findWhole(model, options),
  };
}

/** What an update is left out by while training. */
export interface UpdateDropout {
  readonly rankDropout: number;
  readonly moduleDropout: number;
  /** What is left of the update's outputs is scaled up by their share. */
  readonly scaled: boolean;
}

/**
 * Adds scale · `update`(x) to a layer's output.
 * @param outFeatures of the update
 */
export function addUpdate(
  update: (tape: Tape | undefined, x: Tensor) => Tensor,
  { index, factor }: Pick<WrapGiven, "index" | "factor">,
  { scale, outFeatures, ...drop }: UpdateDropout & { scale: number; outFeatures: number },
): Wrap {
  return (x, context, next) => {
    const { tape, training, seed } = context;
    const y = next(x, context);
    if (!training || (drop.rankDropout === 0 && drop.moduleDropout === 0))
      return ops.add(tape, y, update(tape, x), factor * scale);
    const random = createRandom(seed).fork(index);
    if (random.uniform() < drop.moduleDropout) {
      x.device.stream.recording?.giveUp(); // the next pass may compute it
      return y;
    }
    const kept = fromArray(x.device, keptOutputs(outFeatures, drop, random), [outFeatures]);
    return ops.add(tape, y, ops.scaleColumns(tape, update(tape, x), kept), factor * scale);
  };
}

/** A factor for each output: 0 where it is left out. */
function keptOutputs(
  count: number,
  { rankDropout, scaled }: Pick<UpdateDropout, "rankDropout" | "scaled">,
  random: Random,
): Float32Array {
  const kept = Float32Array.from({ length: count }, () => (random.uniform() < rankDropout ? 0 : 1));
  const share = kept.reduce((sum, value) => sum + value, 0) / count;
  return scaled && share > 0 ? kept.map((value) => value / share) : kept;
}
