import { makeGroups } from "../data/batch.ts";
import { checkItems } from "../data/check-items.ts";
import type { Sequence } from "../data/tokenize.ts";
import { readAndRelease } from "../gpu/tensor.ts";
import type { LanguageModel } from "../models/model.ts";
import { requireLive } from "../nn/module.ts";
import { checkOptions, integer, type Rules, withDefaults } from "../util/options.ts";
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

/** How items are evaluated. */
export interface EvaluationOptions {
  /** Items in a batch; 4 unless given. */
  batchSize?: number;
}

/** What holds where nothing is said, here and on the command line. */
export const EVALUATION_DEFAULTS: Required<EvaluationOptions> = { batchSize: 4 };

/** What the options have to be. */
export const EVALUATION_RULES: Rules<EvaluationOptions> = {
  batchSize: integer({ min: 1 }, "per_device_eval_batch_size", "perDeviceEvalBatchSize"),
};

/** Options of {@link meanLoss}. */
export interface MeanLossOptions extends EvaluationOptions {
  /** Seeds what an objective chooses by chance, such as masks; 0 unless given. */
  seed?: number;
}

const MEAN_LOSS_RULES: Rules<MeanLossOptions> = { ...EVALUATION_RULES, seed: integer({ min: 0 }) };

/** Loss over all label tokens of the sequences, each token weighing the same. */
export async function evaluate(
  model: LanguageModel,
  sequences: readonly Sequence[],
  options: EvaluationOptions = {},
): Promise<Evaluation> {
  const { loss, terms } = await meanLoss(languageModelling(model), sequences, options);
  return { loss, perplexity: Math.exp(loss), tokens: terms };
}

/** The mean loss of an objective over items, in their order, and of how many terms it is the mean. */
export async function meanLoss<Item, B extends Counted>(
  objective: Objective<Item, B>,
  items: readonly Item[],
  options: MeanLossOptions = {},
): Promise<{ loss: number; terms: number }> {
  checkOptions("meanLoss", options, MEAN_LOSS_RULES);
  const { batchSize, seed = 0 } = withDefaults(EVALUATION_DEFAULTS, options);
  if (objective.root) requireLive("meanLoss", objective.root);
  checkItems("meanLoss", items, objective);
  const random = createRandom(seed);
  let sum = 0;
  let terms = 0;
  for (const [i, group] of makeGroups(items, { batchSize }).entries()) {
    const batch = objective.collate(group, random.fork(i));
    objective.device.memory.beginStep();
    const [loss] = await readAndRelease(objective.device, () => [evaluateBatch(objective, batch)]);
    const [summed = 0] = new Float32Array(loss ?? []);
    sum += summed;
    terms += batch.terms;
  }
  return { loss: sum / Math.max(1, terms), terms };
}
