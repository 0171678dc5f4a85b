import { makeGroups } from "../data/batch.ts";
import type { Sequence } from "../data/tokenize.ts";
import type { LanguageModel } from "../models/model.ts";
import { createRandom } from "../util/random.ts";
import { languageModelling } from "./language-modelling.ts";
import type { Counted, Objective } from "./objective.ts";
import { evaluateBatch } from "./pass.ts";

/** How well a model predicts sequences. */
export interface Evaluation {
  /** Mean −log p of the label tokens, nats. */
  loss: number;
  /** exp(loss). */
  perplexity: number;
  /** Label tokens. */
  tokens: number;
}

/** Loss over all label tokens of the sequences, each token weighing the same. */
export async function evaluate(
  model: LanguageModel,
  sequences: readonly Sequence[],
  options: { batchSize?: number } = {},
): Promise<Evaluation> {
  const { loss, terms } = await meanLoss(languageModelling(model), sequences, options);
  return { loss, perplexity: Math.exp(loss), tokens: terms };
}

/** The mean loss of an objective over items, in their order, and of how many terms it is the mean. */
export async function meanLoss<Item, B extends Counted>(
  objective: Objective<Item, B>,
  items: readonly Item[],
  { batchSize = 4, seed = 0 }: { batchSize?: number; seed?: number } = {},
): Promise<{ loss: number; terms: number }> {
  const random = createRandom(seed);
  let sum = 0;
  let terms = 0;
  for (const [i, group] of makeGroups(items, { batchSize }).entries()) {
    const batch = objective.collate(group, random.fork(i));
    const loss = evaluateBatch(objective, batch);
    try {
      sum += (await loss.read())[0] as number;
    } finally {
      objective.device.memory.release(loss.storage);
    }
    terms += batch.labelTokens;
  }
  return { loss: sum / Math.max(1, terms), terms };
}
