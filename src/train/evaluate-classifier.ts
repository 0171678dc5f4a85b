import { softmaxCrossEntropy } from "../autograd/loss.ts";
import { makeGroups } from "../data/batch.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import { argmax } from "../kernels/sampling.ts";
import { createRandom } from "../util/random.ts";
import type { ClassifierObjective } from "./classification.ts";
import { type ClassificationMetrics, classificationMetrics } from "./metrics.ts";
import type { Counted } from "./objective.ts";

/** How a classifier does on some items. */
export interface ClassifierEvaluation extends ClassificationMetrics {
  /** Mean −log p of the right class, nats. */
  readonly loss: number;
  /** Labels that were judged. */
  readonly count: number;
}

/** Loss, accuracy, F1 and the confusion matrix of a classifier. */
export async function evaluateClassifier<Item, B extends Counted>(
  objective: ClassifierObjective<Item, B>,
  items: readonly Item[],
  { batchSize = 16 }: { batchSize?: number } = {},
): Promise<ClassifierEvaluation> {
  const wanted: number[] = [];
  const given: number[] = [];
  let loss = 0;
  for (const group of makeGroups(items, { batchSize })) {
    const batch = objective.collate(group, createRandom(0));
    const labels = objective.labelsOf(batch);
    const [sum, best] = scoped(objective.device, () => scoreBatch(objective, batch, labels));
    loss += (await sum.read())[0] as number;
    wanted.push(...labels);
    given.push(...(await best.readIntegers()));
    for (const { storage } of [sum, best]) objective.device.memory.release(storage);
  }
  const count = wanted.filter((label) => label >= 0).length;
  const metrics = classificationMetrics(wanted, given, objective.labelNames);
  return { ...metrics, loss: loss / Math.max(1, count), count };
}

/** The summed loss and the best class of each row. */
function scoreBatch<Item, B extends Counted>(
  objective: ClassifierObjective<Item, B>,
  batch: B,
  labels: Int32Array,
): readonly [Tensor, Tensor] {
  const logits = objective.logits(batch, { training: false, seed: 0 });
  return [softmaxCrossEntropy(undefined, logits, labels, { scale: 1 }), argmax(logits)];
}
