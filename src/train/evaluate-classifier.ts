import { softmaxCrossEntropy } from "../autograd/loss.ts";
import type { ItemSource } from "../data/feed/item-source.ts";
import type { LabelBatch } from "../data/label-batch.ts";
import type { LabelledTokens } from "../data/sequence.ts";
import { readAndRelease, type Tensor } from "../gpu/tensor.ts";
import { argmax } from "../kernels/sampling.ts";
import { append } from "../util/arrays.ts";
import { checkOptions, withDefaults } from "../util/options.ts";
import { createRandom } from "../util/random.ts";
import type { ClassifierObjective } from "./classification.ts";
import { areEntityTags, type EntityMetrics, entityMetrics, type TaggedRow } from "./entities.ts";
import { EVALUATION_DEFAULTS, EVALUATION_RULES, type EvaluationOptions } from "./evaluate.ts";
import { failLoss } from "./fault.ts";
import { judgedGroups } from "./judged-groups.ts";
import { type ClassificationMetrics, classificationMetrics } from "./metrics.ts";
import { type Counted, requireObjective } from "./objective.ts";

/** How a classifier does on some items. */
export interface ClassifierEvaluation extends ClassificationMetrics {
  /** Mean −log p of the right class, nats. */
  readonly loss: number;
  /** Labels that were judged. */
  readonly count: number;
}

/** How a classifier of tokens does. */
export interface TaggerEvaluation extends ClassifierEvaluation {
  /** Where the classes are BIO tags: how well entities of several words are found as a whole. */
  readonly entities?: EntityMetrics;
}

/**
 * Loss, accuracy, F1 and the confusion matrix of a classifier.
 * @throws LoraError for items that cannot be used, and where scores are no numbers: it names the rows of that batch
 */
export async function evaluateClassifier<Item, B extends Counted>(
  objective: ClassifierObjective<Item, B>,
  items: readonly Item[] | ItemSource<Item>,
  options: EvaluationOptions = {},
): Promise<ClassifierEvaluation> {
  const wanted: number[] = [];
  const given: number[] = [];
  let loss = 0;
  for await (const judged of judge(objective, items, options)) {
    loss += judged.loss;
    append(wanted, judged.wanted);
    append(given, judged.given);
  }
  return evaluation(wanted, given, loss, objective.labelNames);
}

/** The same for a classifier of tokens, and entities where the classes are BIO tags. */
export async function evaluateTagger(
  objective: ClassifierObjective<LabelledTokens, LabelBatch>,
  items: readonly LabelledTokens[] | ItemSource<LabelledTokens>,
  options: EvaluationOptions = {},
): Promise<TaggerEvaluation> {
  const { labelNames } = objective;
  const wanted: number[] = [];
  const given: number[] = [];
  const rows: TaggedRow[] = [];
  let loss = 0;
  for await (const judged of judge(objective, items, options)) {
    loss += judged.loss;
    append(wanted, judged.wanted);
    append(given, judged.given);
    append(rows, tagsOf(judged, labelNames));
  }
  return {
    ...evaluation(wanted, given, loss, labelNames),
    ...(areEntityTags(labelNames) && { entities: entityMetrics(rows) }),
  };
}

/** A batch with the right classes and the best ones. */
interface Judged<B> {
  readonly batch: B;
  readonly wanted: Int32Array;
  readonly given: Int32Array;
  /** Summed over the labels. */
  readonly loss: number;
}

async function* judge<Item, B extends Counted>(
  objective: ClassifierObjective<Item, B>,
  items: readonly Item[] | ItemSource<Item>,
  options: EvaluationOptions,
): AsyncGenerator<Judged<B>> {
  checkOptions("evaluate", options, EVALUATION_RULES);
  requireObjective("evaluate", objective);
  const { batchSize, nameRow } = withDefaults(EVALUATION_DEFAULTS, options);
  for await (const { items: group, names } of judgedGroups("evaluate", objective, items, {
    batchSize,
    nameRow,
  })) {
    const batch = objective.collate(group, createRandom(0));
    const wanted = objective.labelsOf(batch);
    objective.device.memory.beginStep();
    const [sum, best] = await readAndRelease(objective.device, () => scoreBatch(objective, batch, wanted));
    const [loss = 0] = new Float32Array(sum ?? []);
    if (!Number.isFinite(loss)) await failLoss(objective, batch, loss, names());
    const given = new Int32Array(best ?? []);
    yield { batch, wanted, given, loss };
  }
}

function evaluation(
  wanted: readonly number[],
  given: readonly number[],
  loss: number,
  labels: readonly string[],
): ClassifierEvaluation {
  const count = wanted.filter((label) => label >= 0).length;
  return { ...classificationMetrics(wanted, given, labels), loss: loss / Math.max(1, count), count };
}

/** The tags of each text, without the tokens that have none. */
function tagsOf({ batch, wanted, given }: Judged<LabelBatch>, labels: readonly string[]): TaggedRow[] {
  return batch.documents.map(({ row, first, length }) => {
    const all = Array.from({ length }, (_, i) => row * batch.length + first + i);
    const labelled = all.filter((at) => (wanted[at] as number) >= 0);
    const names = (classes: ArrayLike<number>) => labelled.map((at) => labels[classes[at] as number] ?? "O");
    return { wanted: names(wanted), given: names(given) };
  });
}

/** The summed loss and the best class of each row. */
function scoreBatch<Item, B extends Counted>(
  objective: ClassifierObjective<Item, B>,
  batch: B,
  labels: Int32Array,
): readonly [Tensor, Tensor] {
  const logits = objective.logits(batch, { training: false, seed: 0 });
  return [softmaxCrossEntropy(undefined, logits, labels), argmax(logits)];
}
