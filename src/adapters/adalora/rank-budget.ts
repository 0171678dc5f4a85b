// How many ranks AdaLoRA has at a step: Zhang et al. 2023, arXiv 2303.10512, §3.3; as in PEFT `RankAllocator.budget_schedule`.

/** When ranks are cut down, and to how many. */
export interface BudgetPlan {
  /** Ranks of all sites together, at first and in the end. */
  readonly initial: number;
  readonly target: number;
  /** Steps before the first cut. */
  readonly tinit: number;
  /** Steps behind the last one. */
  readonly tfinal: number;
  /** Steps between two. */
  readonly deltaT: number;
  /** Steps of the whole plan. */
  readonly totalStep: number;
}

/** What is done behind the update of a step. */
export interface BudgetStep {
  /** The averages go on. */
  readonly averages: boolean;
  /** Ranks that are masked by their scores now; undefined where none are chosen. */
  readonly dropped: number | undefined;
  /** What was masked before is masked again. */
  readonly masksAgain: boolean;
}

/** @param step from 1 */
export function budgetAt(step: number, plan: BudgetPlan): BudgetStep {
  const { initial, target, tinit, tfinal, deltaT, totalStep } = plan;
  const last = totalStep - tfinal;
  if (step > last) return { averages: false, dropped: undefined, masksAgain: true };
  const isDue = step === last || (step > tinit && step % deltaT === 0);
  const left = 1 - (step - tinit) / (last - tinit);
  const budget = Math.trunc((initial - target) * left ** 3 + target);
  return { averages: step < last, dropped: isDue ? initial - budget : undefined, masksAgain: false };
}
