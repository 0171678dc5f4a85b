import { largest } from "../util/arrays.ts";
import { fail } from "../util/fail.ts";
import { createRandom } from "../util/random.ts";
import { IGNORE_INDEX, type LabelledTokens } from "./tokenize.ts";

/** Rows of tokens side by side, padded on the right to one length; `[batchSize, length]`, row by row. */
export interface TokenBatch {
  readonly inputIds: Uint32Array;
  /** The length of each row before padding. */
  readonly lengths: readonly number[];
  readonly batchSize: number;
  readonly length: number;
  /** Tokens without padding. */
  readonly tokens: number;
  /** Segment of each token where rows are pairs of texts, `[batchSize, length]`; 0 in padding. */
  readonly segments?: Uint32Array;
}

/** Some sequences side by side: a label for each token. */
export interface Batch extends TokenBatch {
  readonly labels: Int32Array;
  /** Tokens that give a loss. */
  readonly terms: number;
}

/** How items are grouped. */
export interface GroupOptions {
  /** Items in a group; the last group of an epoch may have fewer. */
  batchSize: number;
  /** Shuffles by this seed and the epoch; the order stays as given without it. */
  shuffleSeed?: number;
  /** Which pass over the data this is, from 0. */
  epoch?: number;
}

/** Cuts the items of one epoch into groups. Equal seed and epoch give equal groups. */
export function makeGroups<T>(
  items: readonly T[],
  { batchSize, shuffleSeed, epoch = 0 }: GroupOptions,
): T[][] {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    fail("makeGroups", `batchSize is ${batchSize}, wanted 1 or more`);
  }
  if (items.length === 0) fail("makeGroups", "there are no items");
  const ordered = [...items];
  if (shuffleSeed !== undefined) createRandom(shuffleSeed).fork("batches").fork(epoch).shuffle(ordered);
  const groups: T[][] = [];
  for (let at = 0; at < ordered.length; at += batchSize) groups.push(ordered.slice(at, at + batchSize));
  return groups;
}

/** How rows are padded. */
export interface PaddingOptions {
  /** Fills the rows, 0 unless given; which token makes no difference, since padding is neither attended to nor learnt. */
  padTokenId?: number;
  /** Rounds lengths up, 8 unless given, so that few shapes occur: buffers and bind groups are kept by shape. */
  padToMultipleOf?: number;
}

/** Pads rows of tokens on the right to one length. */
export function padRows(
  rows: readonly (readonly number[])[],
  { padTokenId = 0, padToMultipleOf = 8 }: PaddingOptions = {},
): TokenBatch {
  const lengths = rows.map(({ length }) => length);
  const length = Math.ceil(largest(lengths) / padToMultipleOf) * padToMultipleOf;
  const inputIds = new Uint32Array(rows.length * length).fill(padTokenId);
  for (const [i, row] of rows.entries()) inputIds.set(row, i * length);
  const tokens = lengths.reduce((sum, n) => sum + n, 0);
  return { inputIds, lengths, batchSize: rows.length, length, tokens };
}

/** Pads sequences on the right into one batch. */
export function collate(sequences: readonly LabelledTokens[], options: PaddingOptions): Batch {
  const batch = padRows(
    sequences.map(({ inputIds }) => inputIds),
    options,
  );
  const labels = new Int32Array(batch.inputIds.length).fill(IGNORE_INDEX);
  for (const [row, sequence] of sequences.entries()) labels.set(sequence.labels, row * batch.length);
  const terms = labels.reduce((sum, label) => sum + (label === IGNORE_INDEX ? 0 : 1), 0);
  return { ...batch, labels, terms };
}

/** A group of items and its place in the run. */
export interface StreamedGroup<T> {
  readonly epoch: number;
  /** The group's number in its epoch, from 0. */
  readonly index: number;
  /** No group of its epoch comes after it. */
  readonly isLast: boolean;
  readonly items: readonly T[];
}

/**
 * An endless stream of groups, epoch after epoch; shuffled, each epoch has an order of its own.
 * `epoch` and `index` say where to begin, so that a resumed run sees the groups it has not seen yet.
 */
export function* groupStream<T>(
  items: readonly T[],
  { epoch = 0, index = 0, ...options }: GroupOptions & { index?: number },
): Generator<StreamedGroup<T>, never, undefined> {
  for (let first = index; ; epoch++, first = 0) {
    const groups = makeGroups(items, { ...options, epoch });
    for (let i = first; i < groups.length; i++) {
      yield { epoch, index: i, isLast: i === groups.length - 1, items: groups[i]! };
    }
  }
}
