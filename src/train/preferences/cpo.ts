import type { LanguageModel } from "../../models/model.ts";
import { checkOptions, number, oneOf, type Rules, withDefaults } from "../../util/options.ts";
import { PREFERENCE_BOUNDS } from "./dpo.ts";
import {
  ANSWER_LOSS_RULES,
  type AnswerLossOptions,
  type PairBatch,
  pairObjective,
  type ScoredPair,
} from "./pairs.ts";
import type { ReferencedObjective } from "./reference.ts";

/** Losses of CPO, by TRL's names. */
export const CPO_LOSSES = ["sigmoid", "hinge", "ipo", "simpo"] as const;

/** One of {@link CPO_LOSSES}. */
export type CpoLoss = (typeof CPO_LOSSES)[number];

/** Options of {@link cpo}; names as in TRL's CPOConfig, in camel case. */
export interface CpoOptions extends AnswerLossOptions {
  /** `sigmoid` unless given; with `simpo` and `ipo` an answer's score is the mean of its tokens' log p. */
  lossType?: CpoLoss;
  /** How much differences of log p count; 0.1 unless given (SimPO's paper: 2 to 10). */
  beta?: number;
  /** Share of pairs that are taken to be the wrong way round, of `sigmoid` and `simpo`; 0 unless given. */
  labelSmoothing?: number;
  /** Factor of the chosen answers' mean −log p; 1 unless given (SimPO's paper: 0). */
  cpoAlpha?: number;
  /** Margin by which SimPO wants the chosen answer to be ahead; 0.5 unless given. */
  simpoGamma?: number;
}

/** What holds where nothing is said, here and on the command line. */
export const CPO_DEFAULTS = {
  ...{ lossType: "sigmoid", beta: 0.1, labelSmoothing: 0, cpoAlpha: 1, simpoGamma: 0.5 },
  disableDropout: true,
} satisfies CpoOptions;

const CPO_RULES: Rules<CpoOptions> = {
  lossType: oneOf(CPO_LOSSES, "loss_type"),
  beta: number(PREFERENCE_BOUNDS.beta),
  labelSmoothing: number(PREFERENCE_BOUNDS.smoothing, "label_smoothing"),
  cpoAlpha: number(PREFERENCE_BOUNDS.weight, "cpo_alpha"),
  simpoGamma: number(PREFERENCE_BOUNDS.weight, "simpo_gamma", "gamma"),
  ...ANSWER_LOSS_RULES,
};

/**
 * Contrastive preference optimisation: DPO without a reference, and with the chosen answers' own loss. Xu et al. 2024,
 * arXiv 2401.08417. As `simpo` with `cpoAlpha` 0: SimPO, Meng et al. 2024, arXiv 2405.14734.
 */
export function cpo(
  model: LanguageModel,
  given: CpoOptions = {},
): ReferencedObjective<ScoredPair, PairBatch> {
  checkOptions("cpo", given, CPO_RULES);
  const {
    lossType,
    beta,
    labelSmoothing,
    cpoAlpha: nll,
    simpoGamma,
    ...rest
  } = withDefaults<Required<Omit<CpoOptions, "paddingFree">>, CpoOptions>(CPO_DEFAULTS, given);
  const isSimpo = lossType === "simpo";
  const loss = {
    ...{ loss: isSimpo ? ("sigmoid" as const) : lossType, weight: 1, beta, nll, tau: 1, center: 0 },
    smoothing: lossType === "hinge" || lossType === "ipo" ? 0 : labelSmoothing,
    shift: isSimpo ? simpoGamma : 0,
  };
  return pairObjective("cpo", model, { ...rest, losses: [loss], isMean: isSimpo || lossType === "ipo" });
}
