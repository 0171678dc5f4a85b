import { linearCrossEntropy } from "../autograd/loss.ts";
import { type Batch, collate, type TokenBatch } from "../data/batch.ts";
import { IGNORE_INDEX, type LabelledTokens, type Sequence } from "../data/tokenize.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { LanguageModel, MaskedLanguageModel, TextModel } from "../models/model.ts";
import { fail } from "../util/fail.ts";
import type { Random } from "../util/random.ts";
import type { Objective } from "./objective.ts";

/** Predicting each labelled token from those before it. */
export function languageModelling(model: LanguageModel): Objective<Sequence, Batch> {
  const { device, root, head, headOptions } = model;
  return {
    device,
    root,
    collate: (items) => collate(items.map(predictable), { padTokenId: 0 }),
    loss(batch, context, scale) {
      const { ids, ...padding } = uploadTokens(model, batch);
      const hidden = model.hidden(ids, { ...context, ...padding });
      return linearCrossEntropy(context.tape, hidden, head, nextTokens(batch), { ...headOptions, scale });
    },
  };
}

/** Nothing predicts the first token: its label must not count, though `labels` may be a copy of `inputIds`. */
function predictable(sequence: Sequence): Sequence {
  const { labels } = sequence;
  return labels[0] === IGNORE_INDEX ? sequence : { ...sequence, labels: [IGNORE_INDEX, ...labels.slice(1)] };
}

/**
 * Predicts each labelled token from those on both sides. Here `labels[i]` belongs to position i itself.
 * @param mask hides tokens of an item anew each time it is seen; without it the items are masked already
 */
export function maskedLanguageModelling(
  model: MaskedLanguageModel,
  mask: (item: LabelledTokens, random: Random) => LabelledTokens = (item) => item,
): Objective<LabelledTokens, Batch> {
  const { device, root, head, headOptions } = model;
  return {
    device,
    root,
    collate: (items, random) =>
      collate(
        items.map((item, i) => mask(item, random.fork(i))),
        {},
      ),
    loss(batch, context, scale) {
      const { ids, ...padding } = uploadTokens(model, batch);
      const hidden = model.hidden(ids, { ...context, ...padding });
      return linearCrossEntropy(context.tape, hidden, head, batch.labels, { ...headOptions, scale });
    },
  };
}

/**
 * ids u32 `[B, T]`, the number of valid ones of each row, u32 `[B]` and on the host; segments where there are any.
 * @throws LoraError for an id that the embedding lacks: for this the device would read zeros, in silence
 */
export function uploadTokens(
  { device, config: { vocabSize } }: Pick<TextModel, "device" | "config">,
  { inputIds, lengths, batchSize, length, segments }: TokenBatch,
): { ids: Tensor; lengths: Tensor; counts: readonly number[]; tokenTypes?: Tensor } {
  const alien = inputIds.find((id) => id >= vocabSize);
  if (alien !== undefined) fail("inputIds", `${alien} is no row of the embedding, which has ${vocabSize}`);
  return {
    ...(segments && { tokenTypes: fromArray(device, segments, [batchSize, length]) }),
    ids: fromArray(device, inputIds, [batchSize, length]),
    lengths: fromArray(device, Uint32Array.from(lengths), [batchSize]),
    counts: lengths,
  };
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
