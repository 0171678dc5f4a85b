import { fail } from "../util/fail.ts";
import { createRandom } from "../util/random.ts";
import { IGNORE_INDEX, type Sequence } from "./tokenize.ts";

/** Some sequences side by side, padded on the right to one length; matrices are `[batchSize, length]`, row by row. */
export interface Batch {
  readonly inputIds: Uint32Array;
  readonly labels: Int32Array;
  /** The length of each sequence before padding. */
  readonly lengths: readonly number[];
  readonly batchSize: number;
  readonly length: number;
  /** Tokens without padding. */
  readonly tokens: number;
  /** Tokens that give a loss. */
  readonly labelTokens: number;
}

/** Options of {@link makeBatches}. */
export interface BatchOptions {
  /** Sequences in a batch; the last batch of an epoch may have fewer. */
  batchSize: number;
  /** Fills the rows; which token it is makes no difference, for it is never attended to nor learnt. */
  padTokenId: number;
  /** Shuffles by this seed and the epoch; the order stays as given without it. */
  shuffleSeed?: number;
  /** Which pass over the data this is, from 0. */
  epoch?: number;
  /** Rounds lengths up, so that few shapes occur: buffers and bind groups are kept by shape. */
  padToMultipleOf?: number;
}

/** Cuts the sequences of one epoch into batches. Equal seed and epoch give equal batches. */
export function makeBatches(
  sequences: readonly Sequence[],
  { batchSize, padTokenId, shuffleSeed, epoch = 0, padToMultipleOf = 8 }: BatchOptions,
): Batch[] {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    fail("makeBatches", `batchSize is ${batchSize}, wanted 1 or more`);
  }
  if (sequences.length === 0) fail("makeBatches", "there are no sequences");
  const ordered = [...sequences];
  if (shuffleSeed !== undefined) createRandom(shuffleSeed).fork("batches").fork(epoch).shuffle(ordered);
  const batches: Batch[] = [];
  for (let at = 0; at < ordered.length; at += batchSize) {
    batches.push(collate(ordered.slice(at, at + batchSize), { padTokenId, padToMultipleOf }));
  }
  return batches;
}

/** Pads sequences on the right into one batch. */
export function collate(
  sequences: readonly Sequence[],
  { padTokenId, padToMultipleOf = 8 }: { padTokenId: number; padToMultipleOf?: number },
): Batch {
  const lengths = sequences.map(({ inputIds }) => inputIds.length);
  const length = Math.ceil(Math.max(...lengths) / padToMultipleOf) * padToMultipleOf;
  const inputIds = new Uint32Array(sequences.length * length).fill(padTokenId);
  const labels = new Int32Array(sequences.length * length).fill(IGNORE_INDEX);
  for (const [row, sequence] of sequences.entries()) {
    inputIds.set(sequence.inputIds, row * length);
    labels.set(sequence.labels, row * length);
  }
  return {
    inputIds,
    labels,
    lengths,
    batchSize: sequences.length,
    length,
    tokens: lengths.reduce((sum, n) => sum + n, 0),
    labelTokens: labels.reduce((sum, label) => sum + (label === IGNORE_INDEX ? 0 : 1), 0),
  };
}

/** A batch and its place in the run. */
export interface StreamedBatch {
  readonly epoch: number;
  /** The batch's number in its epoch, from 0. */
  readonly index: number;
  readonly batch: Batch;
}

/**
 * Batches without end, epoch after epoch, each shuffled anew.
 * `epoch` and `index` say where to begin, so that a resumed run sees the batches it has not seen yet.
 */
export function* batchStream(
  sequences: readonly Sequence[],
  { epoch = 0, index = 0, ...options }: BatchOptions & { index?: number },
): Generator<StreamedBatch, never, undefined> {
  for (let first = index; ; epoch++, first = 0) {
    const batches = makeBatches(sequences, { ...options, epoch });
    for (let i = first; i < batches.length; i++) yield { epoch, index: i, batch: batches[i]! };
  }
}
