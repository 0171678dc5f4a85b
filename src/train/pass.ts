import { linearCrossEntropy } from "../autograd/loss.ts";
import { Tape } from "../autograd/tape.ts";
import type { Batch } from "../data/batch.ts";
import { IGNORE_INDEX } from "../data/tokenize.ts";
import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { addInto, zeros } from "../kernels/elementwise.ts";
import type { LanguageModel } from "../models/model.ts";
import type { Parameters } from "../nn/parameters.ts";

/** How gradients are computed. */
export interface PassOptions {
  /** Seeds dropout; the same seed repeats the pass. */
  seed: number;
  /** Keep only the input of every layer and recompute the rest (gradient checkpointing). */
  checkpoint?: boolean;
}

/**
 * Forward and backward over the micro-batches of one optimiser step: adds to `gradients` the gradient of the mean
 * loss over all their label tokens together. Four sequences at once or one by one give the same.
 * @returns the summed loss `[1]`
 */
export function accumulateGradients(
  model: LanguageModel,
  parameters: Parameters,
  gradients: ReadonlyMap<Tensor, Tensor>,
  batches: readonly Batch[],
  { seed, checkpoint = false }: PassOptions,
): Tensor {
  const labelTokens = batches.reduce((sum, batch) => sum + batch.labelTokens, 0);
  let total: Tensor | undefined;
  for (const [i, batch] of batches.entries()) {
    const sum = scoped(model.device, () => {
      const tape = new Tape();
      for (const { tensor } of parameters.entries) tape.watch(tensor);
      const context = { tape, training: true, seed: seed + i, checkpoint };
      const loss = batchLoss(model, batch, context, 1 / labelTokens);
      if (tape.length > 0) tape.backward(loss, loss, gradients);
      return loss;
    });
    total = total ? addInto(total, sum) : sum;
  }
  return total ?? zeros(model.device, [1]);
}

/** The summed loss `[1]` of a batch, without gradients. */
export function evaluateBatch(model: LanguageModel, batch: Batch): Tensor {
  return scoped(model.device, () => batchLoss(model, batch, { training: false, seed: 0 }, 1));
}

function batchLoss(
  model: LanguageModel,
  batch: Batch,
  context: { tape?: Tape; training: boolean; seed: number; checkpoint?: boolean },
  scale: number,
): Tensor {
  const { device } = model;
  const ids = fromArray(device, batch.inputIds, [batch.batchSize, batch.length]);
  const lengths = fromArray(device, Uint32Array.from(batch.lengths), [batch.batchSize]);
  const hidden = model.hidden(ids, { ...context, lengths, longest: Math.max(...batch.lengths) });
  return linearCrossEntropy(context.tape, hidden, model.head, nextTokens(batch), {
    scale,
    ...model.headOptions,
  });
}

/** The label of position t is the token at t + 1: shifts every row to the left by one. */
function nextTokens({ labels, batchSize, length }: Batch): Int32Array {
  const shifted = new Int32Array(labels.length).fill(IGNORE_INDEX);
  for (let row = 0; row < batchSize; row++) {
    const start = row * length;
    shifted.set(labels.subarray(start + 1, start + length), start);
  }
  return shifted;
}
