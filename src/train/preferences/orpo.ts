import type { LanguageModel } from "../../models/model.ts";
import { checkOptions, number, type Rules, withDefaults } from "../../util/options.ts";
import { PREFERENCE_BOUNDS } from "./dpo.ts";
import {
  ANSWER_LOSS_RULES,
  type AnswerLossOptions,
  type PairBatch,
  pairObjective,
  type ScoredPair,
} from "./pairs.ts";
import type { ReferencedObjective } from "./reference.ts";

/** Options of {@link orpo}; names as in TRL's ORPOConfig, in camel case. */
export interface OrpoOptions extends AnswerLossOptions {
  /** Factor of the odds' part, λ in the paper; 0.1 unless given. */
  beta?: number;
}

/** What holds where nothing is said, here and on the command line. */
export const ORPO_DEFAULTS = { beta: 0.1, disableDropout: true } satisfies OrpoOptions;

const ORPO_RULES: Rules<OrpoOptions> = { beta: number(PREFERENCE_BOUNDS.beta), ...ANSWER_LOSS_RULES };

/**
 * Odds ratio preference optimisation: learns chosen answers with their prompts, and widens the odds against the rejected
 * ones. It needs no reference. Hong et al. 2024, arXiv 2403.07691.
 */
export function orpo(
  model: LanguageModel,
  given: OrpoOptions = {},
): ReferencedObjective<ScoredPair, PairBatch> {
  checkOptions("orpo", given, ORPO_RULES);
  const { beta, ...rest } = withDefaults(ORPO_DEFAULTS, given);
  const loss = { loss: "orpo", weight: 1, beta, smoothing: 0, shift: 0, tau: 1, center: 0, nll: 1 } as const;
  return pairObjective("orpo", model, { ...rest, losses: [loss], isMean: true, learnsPrompts: true });
}
