import { pairLoss } from "../../autograd/preference-loss.ts";
import { packRows, type TokenBatch } from "../../data/batch.ts";
import { checkItems, idsProblem } from "../../data/check-items.ts";
import { fromArray } from "../../gpu/tensor.ts";
import type { TextClassifier } from "../../models/model.ts";
import { checkModel } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, number, type Rules, withDefaults } from "../../util/options.ts";
import { uploadTokens } from "../language-modelling.ts";
import type { Counted, Objective } from "../objective.ts";
import { PREFERENCE_BOUNDS } from "./dpo.ts";
import { REWARD_MEASURES } from "./measures.ts";
import { ANSWER_LOSS_RULES, type AnswerLossOptions, withoutDropout } from "./pairs.ts";

/** Options of {@link rewardModelling}; names as in TRL's RewardConfig, in camel case. */
export interface RewardOptions extends AnswerLossOptions {
  /** Factor of the squared sum of a pair's rewards, which keeps their mean near 0; 0 unless given (TRL's proposal: 0.01). */
  centerRewardsCoefficient?: number;
}

/** What holds where nothing is said, here and on the command line. */
export const REWARD_DEFAULTS = { centerRewardsCoefficient: 0, disableDropout: true } satisfies RewardOptions;

const RULES: Rules<RewardOptions> = {
  centerRewardsCoefficient: number(PREFERENCE_BOUNDS.weight, "center_rewards_coefficient"),
  ...ANSWER_LOSS_RULES,
};

/** Two answers behind one prompt, as tokens. */
export interface RewardPair {
  /** The better one. */
  readonly chosen: { readonly inputIds: readonly number[] };
  /** The other one. */
  readonly rejected: { readonly inputIds: readonly number[] };
  /** By how much the better one's reward is to be ahead at least; 0 unless given. */
  readonly margin?: number;
}

/** Pairs side by side: all chosen answers, then all rejected ones. */
export interface RewardBatch extends TokenBatch, Counted {
  /** Of each pair. */
  readonly margins: Float32Array;
}

/**
 * Giving the better one of two answers the higher reward: the model of Bradley and Terry, −log σ(r₁ − r₂ − margin), over a
 * head of one score. Ouyang et al. 2022, arXiv 2203.02155; margins: Touvron et al. 2023, arXiv 2307.09288.
 * @throws LoraError where the head has several scores
 */
export function rewardModelling(
  model: TextClassifier<"sequence-classification">,
  given: RewardOptions = {},
): Objective<RewardPair, RewardBatch> {
  checkOptions("rewardModelling", given, RULES);
  checkModel("rewardModelling", model);
  const {
    centerRewardsCoefficient: center,
    disableDropout,
    paddingFree,
  } = withDefaults(REWARD_DEFAULTS, given);
  const { device, root, adapters, config } = model;
  if (model.labels?.length !== 1) {
    const got = `the head has ${model.labels?.length ?? 0} scores, and a reward is one`;
    fail(
      "rewardModelling",
      got,
      'load the model with { task: "sequence-classification", labels: ["reward"] }',
    );
  }
  const problemOf = ({ chosen, rejected, margin }: RewardPair) => {
    const problem =
      idsProblem(chosen?.inputIds, config, "chosen") ?? idsProblem(rejected?.inputIds, config, "rejected");
    if (problem !== undefined || margin === undefined || Number.isFinite(margin)) return problem;
    return `has the margin ${JSON.stringify(margin)}, wanted a number`;
  };
  const loss = {
    ...{ loss: "reward" as const, weight: 1, beta: 1, smoothing: 0, shift: 0, tau: 1, center, nll: 0 },
  };
  return {
    ...{ device, root, adapters, problemOf, measures: REWARD_MEASURES },
    lengthOf: ({ chosen, rejected }) => Math.max(chosen.inputIds.length, rejected.inputIds.length), // all are padded alike
    collate(pairs) {
      checkItems("collate", pairs, { problemOf });
      const ids = [
        ...pairs.map(({ chosen }) => chosen.inputIds),
        ...pairs.map(({ rejected }) => rejected.inputIds),
      ];
      const batch = packRows(paddingFree ? [ids] : ids.map((answer) => [answer]));
      return { ...batch, margins: Float32Array.from(pairs, ({ margin = 0 }) => margin), terms: pairs.length };
    },
    loss(batch, context) {
      const count = batch.margins.length;
      const { ids, ...tokens } = uploadTokens(model, batch);
      const scores = model.logits(ids, { ...withoutDropout(context, disableDropout), ...tokens });
      const policy = scores.reshape([2 * count]);
      const margins = new Float32Array(2 * count);
      margins.set(batch.margins);
      const reference = fromArray(device, margins, [2 * count]);
      const { loss: sum, measured } = pairLoss(
        context.tape,
        { policy, reference, tokens: reference, logits: reference },
        [loss],
      );
      context.report?.(measured);
      return sum;
    },
  };
}
