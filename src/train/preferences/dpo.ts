import {
  DIVERGENCES,
  type Divergence,
  type PairLossOptions,
  REFERENCED_LOSSES,
} from "../../kernels/preference.ts";
import type { LanguageModel } from "../../models/model.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, either, listOf, number, oneOf, type Rules, withDefaults } from "../../util/options.ts";
import {
  ANSWER_LOSS_RULES,
  type AnswerLossOptions,
  type PairBatch,
  pairObjective,
  REFERENCE,
  type ScoredPair,
} from "./pairs.ts";
import type { ReferencedObjective } from "./reference.ts";

/** Losses of DPO, by TRL's names; `sft` is the chosen answers' mean −log p. */
export const DPO_LOSSES = [...REFERENCED_LOSSES, "sft"] as const;

/** One of {@link DPO_LOSSES}. */
export type DpoLoss = (typeof DPO_LOSSES)[number];

/** Options of {@link dpo}; names as in TRL's DPOConfig, in camel case. */
export interface DpoOptions extends AnswerLossOptions {
  /** Which loss, or several that are added; `sigmoid`, the one of the paper, unless given. */
  lossType?: DpoLoss | readonly DpoLoss[];
  /** Factor of each of several losses; 1 unless given. */
  lossWeights?: readonly number[];
  /** How near the model stays to the reference: the larger, the nearer; 0.1 unless given. */
  beta?: number;
  /** Share of pairs that are taken to be the wrong way round, of `robust`, `exo_pair` and `aot`; 0 unless given. */
  labelSmoothing?: number;
  /** What keeps the model near the reference (f-DPO, Wang et al. 2023, arXiv 2309.16240); `reverse_kl`, as in DPO's paper, unless given. */
  fDivergenceType?: Divergence;
  /** α of `alpha_divergence`; 0.5 unless given. */
  fAlphaDivergenceCoef?: number;
  /**
   * How much the tokens of an answer count that are beyond the other's length, from 0 to 1 (LD-DPO, Liu et al. 2024, arXiv
   * 2409.06411); as all others unless given.
   */
  ldAlpha?: number;
  /** Temperature of `discopop`; 0.05 unless given. */
  discopopTau?: number;
  /** What the model is compared with: the model without adapters, unless given. */
  reference?: LanguageModel;
}

type Defaults = Required<Omit<DpoOptions, "lossWeights" | "reference" | "paddingFree" | "ldAlpha">>;

/** What holds where nothing is said, here and on the command line. */
export const DPO_DEFAULTS: Defaults = {
  lossType: "sigmoid",
  beta: 0.1,
  labelSmoothing: 0,
  fDivergenceType: "reverse_kl",
  fAlphaDivergenceCoef: 0.5,
  discopopTau: 0.05,
  disableDropout: true,
};

/** Bounds of numbers, here and on the command line. */
export const PREFERENCE_BOUNDS = {
  beta: { above: 0, max: 1e6 },
  weight: { min: 0, max: 1e6 },
  smoothing: { min: 0, below: 0.5 },
  tau: { above: 0, max: 1e6 },
  alpha: { min: -1e3, max: 1e3 },
  share: { min: 0, max: 1 },
} as const;

const RULES: Rules<DpoOptions> = {
  lossType: either(oneOf(DPO_LOSSES, "loss_type"), listOf(oneOf(DPO_LOSSES), "a list of them")),
  lossWeights: listOf(number(PREFERENCE_BOUNDS.weight), "a list of numbers", "loss_weights"),
  beta: number(PREFERENCE_BOUNDS.beta),
  labelSmoothing: number(PREFERENCE_BOUNDS.smoothing, "label_smoothing"),
  fDivergenceType: oneOf(DIVERGENCES, "f_divergence_type"),
  fAlphaDivergenceCoef: number(PREFERENCE_BOUNDS.alpha, "f_alpha_divergence_coef"),
  ldAlpha: number(PREFERENCE_BOUNDS.share, "ld_alpha"),
  discopopTau: number(PREFERENCE_BOUNDS.tau, "discopop_tau"),
  reference: REFERENCE,
  ...ANSWER_LOSS_RULES,
};

/**
 * Direct preference optimisation: makes chosen answers likelier against rejected ones, by more than the reference model finds
 * them. Rafailov et al. 2023, arXiv 2305.18290; the other losses: docs/preferences.md.
 * @throws LoraError for options that contradict each other
 */
export function dpo(
  model: LanguageModel,
  given: DpoOptions = {},
): ReferencedObjective<ScoredPair, PairBatch> {
  const losses = settleDpo(given);
  const {
    disableDropout,
    paddingFree,
    ldAlpha,
    reference = model.withAdapters([]),
  } = withDefaults(DPO_DEFAULTS, given);
  return pairObjective("dpo", model, {
    ...{ losses, reference, disableDropout },
    ...(paddingFree !== undefined && { paddingFree }),
    ...(ldAlpha !== undefined && { tailWeight: ldAlpha }),
  });
}

/**
 * The losses that options ask for.
 * @throws LoraError for options that contradict each other
 */
export function settleDpo(given: DpoOptions): PairLossOptions[] {
  checkOptions("dpo", given, RULES);
  const options = withDefaults(DPO_DEFAULTS, given);
  const types = [options.lossType].flat() as readonly DpoLoss[];
  const weights = options.lossWeights ?? types.map(() => 1);
  checkLosses(types, weights, options.labelSmoothing);
  checkScores(types, options);
  const weightOf = (type: DpoLoss) =>
    types.reduce((sum, other, i) => sum + (other === type ? (weights[i] as number) : 0), 0);
  const pairTypes = types.filter((type) => type !== "sft");
  const nll = weightOf("sft");
  return (pairTypes.length > 0 ? pairTypes : (["none"] as const)).map((loss): PairLossOptions => {
    const weight = loss === "none" ? 0 : (weights[types.indexOf(loss)] as number);
    const smoothing = isSmoothed(loss) ? options.labelSmoothing : 0;
    const { beta, discopopTau: tau } = options;
    return { loss, weight, beta, smoothing, shift: 0, tau, center: 0, nll, ...divergenceOf(options) };
  });
}

/** Where α is 1 the α-divergence is the reverse KL. */
function divergenceOf({
  fDivergenceType: divergence,
  fAlphaDivergenceCoef: alpha,
}: Pick<Defaults, "fDivergenceType" | "fAlphaDivergenceCoef">): Pick<
  PairLossOptions,
  "divergence" | "alpha"
> {
  return divergence === "alpha_divergence" && Math.abs(alpha - 1) < 1e-6 ? {} : { divergence, alpha };
}

const isSmoothed = (loss: PairLossOptions["loss"] | DpoLoss) =>
  ["robust", "exo_pair", "aot", "aot_unpaired"].includes(loss);

/** Losses of the difference of two scores, in which what an f-divergence leaves over cancels. */
const OF_DIFFERENCE: readonly DpoLoss[] = [
  ...(["sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"] as const),
];

function checkScores(
  types: readonly DpoLoss[],
  { fDivergenceType, ldAlpha }: Pick<Defaults, "fDivergenceType"> & Pick<DpoOptions, "ldAlpha">,
): void {
  const other = types.find((type) => !OF_DIFFERENCE.includes(type));
  if (fDivergenceType !== "reverse_kl" && other)
    fail("dpo", `${other} knows no ${fDivergenceType}`, `it goes with ${OF_DIFFERENCE.join(", ")}`);
  if (ldAlpha !== undefined && types.includes("sft"))
    fail("dpo", "ldAlpha weighs the tokens that sft learns, too", "leave one of them out");
}

function checkLosses(types: readonly DpoLoss[], weights: readonly number[], smoothing: number): void {
  if (types.length === 0) fail("dpo", "lossType names no loss", "name one, such as sigmoid");
  const twice = types.find((type, i) => types.indexOf(type) < i);
  if (twice) fail("dpo", `lossType names ${twice} twice`, "name it once, with a weight in lossWeights");
  if (weights.length !== types.length) {
    const got = `there are ${weights.length} lossWeights for ${types.length} losses`;
    fail("dpo", got, "give one for each, in their order");
  }
  if (weights.every((weight) => weight === 0)) fail("dpo", "all lossWeights are 0", "give one above 0");
  if (smoothing > 0 && !types.some(isSmoothed)) {
    fail("dpo", `labelSmoothing means nothing for ${types.join(", ")}`, "leave it out, or take robust");
  }
  if (smoothing === 0 && types.includes("exo_pair")) {
    fail("dpo", "exo_pair takes the logarithm of labelSmoothing, which is 0", "give 1e-3, as its paper does");
  }
}
