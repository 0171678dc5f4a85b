import { MEASURES, type Measure } from "../../kernels/preference.ts";
import type { Measures } from "../objective.ts";

type Sums = Readonly<Record<Measure, number>>;

/** Figures made of the sums over batches. */
function measuresOf(read: (sums: Sums) => Readonly<Record<string, number>>): Measures {
  return {
    size: MEASURES.length,
    read: (sums) => read(Object.fromEntries(MEASURES.map((name, i) => [name, sums[i] ?? 0])) as Sums),
  };
}

const share = (sum: number, count: number) => (count > 0 ? sum / count : 0);

/** What TRL's trainers for DPO, CPO and ORPO report of pairs. */
export function pairMeasures({ hasNll, isOrpo }: { hasNll: boolean; isOrpo: boolean }): Measures {
  return measuresOf((sums) => {
    const { count } = sums;
    return {
      "rewards/chosen": share(sums.rewardsChosen, count),
      "rewards/rejected": share(sums.rewardsRejected, count),
      "rewards/accuracies": share(sums.hits, count),
      "rewards/margins": share(sums.rewardsChosen - sums.rewardsRejected, count),
      "logps/chosen": share(sums.logpsChosen, count),
      "logps/rejected": share(sums.logpsRejected, count),
      "logits/chosen": share(sums.logitsChosen, sums.tokensChosen),
      "logits/rejected": share(sums.logitsRejected, sums.tokensRejected),
      ...(hasNll && { nll_loss: share(sums.shared, count) }),
      ...(isOrpo && {
        log_odds_ratio: share(sums.logOddsRatio, count),
        log_odds_chosen: share(sums.logOddsChosen, count),
      }),
    };
  });
}

/** What TRL's trainer for KTO reports of judged answers; of a kind that does not occur there is nothing. */
export const JUDGED_MEASURES: Measures = measuresOf((sums) => {
  const { count, hits: desirable } = sums;
  const undesirable = count - desirable;
  const [chosen, rejected] = [share(sums.rewardsChosen, desirable), share(sums.rewardsRejected, undesirable)];
  return {
    ...(desirable > 0 && {
      "rewards/chosen": chosen,
      "logps/chosen": sums.logpsChosen / desirable,
      "logits/chosen": share(sums.logitsChosen, sums.tokensChosen),
    }),
    ...(undesirable > 0 && {
      "rewards/rejected": rejected,
      "logps/rejected": sums.logpsRejected / undesirable,
      "logits/rejected": share(sums.logitsRejected, sums.tokensRejected),
    }),
    ...(desirable > 0 && undesirable > 0 && { "rewards/margins": chosen - rejected }),
    kl: share(sums.shared, count),
  };
});

/** What TRL's trainer for reward models reports. */
export const REWARD_MEASURES: Measures = measuresOf((sums) => {
  const { count, batches } = sums;
  return {
    min_reward: share(sums.lowest, batches),
    mean_reward: share(sums.logpsChosen + sums.logpsRejected, 2 * count),
    max_reward: share(sums.highest, batches),
    accuracy: share(sums.hits, count),
    margin: share(sums.rewardsChosen - sums.rewardsRejected, count),
  };
});
