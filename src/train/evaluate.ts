import { rowName } from "../data/check-items.ts";
import type { ItemSource } from "../data/feed/item-source.ts";
import type { Sequence } from "../data/sequence.ts";
import { readAndRelease } from "../gpu/tensor.ts";
import type { LanguageModel } from "../models/model.ts";
import { callback, checkOptions, integer, type Rules, withDefaults } from "../util/options.ts";
import { createRandom } from "../util/random.ts";
import { failLoss } from "./fault.ts";
import { judgedGroups } from "./judged-groups.ts";
import { languageModelling } from "./language-modelling.ts";
import { type Counted, type Objective, requireObjective } from "./objective.ts";
import { evaluateBatch, measured } from "./pass.ts";

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
  /** What messages call an item, by its place from 0; `row 1` and so on unless given. */
  nameRow?: (place: number) => string;
}

/** What holds where nothing is said, here and on the command line. */
export const EVALUATION_DEFAULTS: Required<EvaluationOptions> = { batchSize: 4, nameRow: rowName };

/** What the options have to be. */
export const EVALUATION_RULES: Rules<EvaluationOptions> = {
  batchSize: integer({ min: 1 }, "per_device_eval_batch_size", "perDeviceEvalBatchSize"),
  nameRow: callback(),
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
  sequences: readonly Sequence[] | ItemSource<Sequence>,
  options: EvaluationOptions = {},
): Promise<Evaluation> {
  const { loss, terms } = await meanLoss(languageModelling(model), sequences, options);
  return { loss, perplexity: Math.exp(loss), tokens: terms };
}

/** How an objective does on items. */
export interface MeanLoss {
  /** Mean of the terms. */
  readonly loss: number;
  /** Terms of which the loss is the mean. */
  readonly terms: number;
  /** What the objective measures beside its loss; absent where it measures nothing. */
  readonly metrics?: Readonly<Record<string, number>>;
}

/**
 * The mean loss of an objective over items, in their order, and of how many terms it is the mean. Those of an {@link ItemSource} are made
 * when they are needed.
 * @throws LoraError for items that cannot be used, and where the loss is no number: it names the rows of that batch and
 * the first layer whose output is none
 */
export async function meanLoss<Item, B extends Counted>(
  objective: Objective<Item, B>,
  items: readonly Item[] | ItemSource<Item>,
  options: MeanLossOptions = {},
): Promise<MeanLoss> {
  checkOptions("meanLoss", options, MEAN_LOSS_RULES);
  const { batchSize, nameRow, seed = 0 } = withDefaults(EVALUATION_DEFAULTS, options);
  requireObjective("meanLoss", objective);
  const random = createRandom(seed);
  let sum = 0;
  let terms = 0;
  const figures: number[] = [];
  let groups = 0;
  for await (const { items: group, names } of judgedGroups("meanLoss", objective, items, {
    batchSize,
    nameRow,
  })) {
    const batch = objective.collate(group, random.fork(groups++));
    objective.device.memory.beginStep();
    const [loss, sums] = await readAndRelease(objective.device, () => {
      const { sums, report } = measured(objective);
      return [evaluateBatch(objective, batch, report), ...sums];
    });
    const [summed = 0] = new Float32Array(loss ?? []);
    if (!Number.isFinite(summed)) await failLoss(objective, batch, summed, names());
    sum += summed;
    terms += batch.terms;
    for (const [at, value] of new Float32Array(sums ?? []).entries())
      figures[at] = (figures[at] ?? 0) + value;
  }
  const metrics = objective.measures?.read(figures);
  return { loss: sum / Math.max(1, terms), terms, ...(metrics && { metrics }) };
}
