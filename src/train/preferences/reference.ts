import { makeGroups } from "../../data/batch.ts";
import { checkItems } from "../../data/check-items.ts";
import { readAndRelease, type Tensor } from "../../gpu/tensor.ts";
import { checkOptions, withDefaults } from "../../util/options.ts";
import { createRandom } from "../../util/random.ts";
import { EVALUATION_DEFAULTS, EVALUATION_RULES, type EvaluationOptions } from "../evaluate.ts";
import { type Counted, type Objective, requireObjective } from "../objective.ts";

/** An objective that compares a model with a reference, if it has one. */
export interface ReferencedObjective<Item, B extends Counted = Counted> extends Objective<Item, B> {
  /** log p of a batch's answers by the reference, `[answers]`: where items have two, all first ones come before the second ones. */
  referenceScores?(batch: B): Tensor;
  /** An item with the scores of its answers. */
  withReference(item: Item, scores: readonly number[]): Item;
}

/**
 * Items with what the reference says of them, so that training does not compute it again in each epoch
 * (TRL's `precompute_ref_log_probs`). An objective without a reference leaves them as they are.
 * @throws LoraError for items that cannot be used
 */
export async function withReferenceScores<Item, B extends Counted>(
  objective: ReferencedObjective<Item, B>,
  items: readonly Item[],
  options: EvaluationOptions = {},
): Promise<readonly Item[]> {
  checkOptions("withReferenceScores", options, EVALUATION_RULES);
  const { batchSize } = withDefaults(EVALUATION_DEFAULTS, options);
  requireObjective("withReferenceScores", objective);
  checkItems("withReferenceScores", items, objective);
  const { device } = objective;
  if (!objective.referenceScores) return items;
  const scored: Item[] = [];
  for (const group of makeGroups(items, { batchSize })) {
    const batch = objective.collate(group, createRandom(0));
    device.memory.beginStep();
    const [read] = await readAndRelease(device, () => [objective.referenceScores?.(batch) as Tensor]);
    const scores = new Float32Array(read ?? []);
    for (const [i, item] of group.entries()) {
      const own = scores.filter((_, at) => at % group.length === i);
      scored.push(objective.withReference(item, [...own]));
    }
  }
  return scored;
}
