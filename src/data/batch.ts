import type { Targets } from "../autograd/loss.ts";
import type { Document, Layout } from "../nn/geometry.ts";
import { append, largest } from "../util/arrays.ts";
import { fail } from "../util/fail.ts";
import { createRandom } from "../util/random.ts";
import { IGNORE_INDEX, type LabelledTokens } from "./sequence.ts";

/** Rows of documents side by side, padded to one length; `[batchSize, length]`, row by row. */
export interface TokenBatch extends Layout {
  readonly inputIds: Uint32Array;
  /** Tokens without padding. */
  readonly tokens: number;
  /** Segment of each token where rows are pairs of texts, `[batchSize, length]`; 0 in padding. */
  readonly segments?: Uint32Array;
}

/** Some sequences side by side, of whose tokens some are predicted. */
export interface Batch extends TokenBatch {
  /** Where tokens are predicted, and which. */
  readonly targets: Targets;
  /** How many. */
  readonly terms: number;
}

/** How items are grouped. */
export interface GroupOptions<T> {
  /** Items in a group; the last group of an epoch may have fewer. */
  batchSize: number;
  /** Shuffles by this seed and the epoch; the order stays as given without it. */
  shuffleSeed?: number;
  /** Which pass over the data this is, from 0. */
  epoch?: number;
  /** Tokens of an item: where it is given, a group holds items of like lengths, so that little is padded. */
  lengthOf?: (item: T) => number;
}

/** Cuts the items of one epoch into groups. Equal seed and epoch give equal groups. */
export function makeGroups<T>(
  items: readonly T[],
  { batchSize, shuffleSeed, epoch = 0, lengthOf }: GroupOptions<T>,
): T[][] {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    fail("makeGroups", `batchSize is ${batchSize}, wanted 1 or more`);
  }
  if (items.length === 0) fail("makeGroups", "there are no items");
  const given = [...items];
  if (shuffleSeed !== undefined) createRandom(shuffleSeed).fork("batches").fork(epoch).shuffle(given);
  const ordered = lengthOf ? groupByLength(given, batchSize, lengthOf) : given;
  const groups: T[][] = [];
  for (let at = 0; at < ordered.length; at += batchSize) groups.push(ordered.slice(at, at + batchSize));
  return groups;
}

/** Groups of which items are sorted together; transformers' number. */
const GROUPS_SORTED = 50;

/**
 * Sorts the items of so many groups at a time by falling length: neighbours are alike, and still others in each epoch. The longest
 * of all comes first, so that a lack of memory shows at once. transformers' `LengthGroupedSampler`.
 */
function groupByLength<T>(items: readonly T[], batchSize: number, lengthOf: (item: T) => number): T[] {
  const groups = Math.max(1, Math.min(GROUPS_SORTED, Math.floor(items.length / (4 * batchSize))));
  const sorted: T[] = [];
  for (let at = 0; at < items.length; at += groups * batchSize) {
    const together = items.slice(at, at + groups * batchSize);
    append(
      sorted,
      together.sort((a, b) => lengthOf(b) - lengthOf(a)),
    );
  }
  const most = largest(sorted.map(lengthOf));
  const longest = sorted.findIndex((item) => lengthOf(item) === most);
  [sorted[0], sorted[longest]] = [sorted[longest] as T, sorted[0] as T];
  return sorted;
}

/** How rows are padded. */
export interface PaddingOptions {
  /** Fills the rows, 0 unless given; which token makes no difference, since padding is neither attended to nor learnt. */
  padTokenId?: number;
  /** Rounds lengths up, 8 unless given, so that few shapes occur: buffers and bind groups are kept by shape. */
  padToMultipleOf?: number;
  /** Where the padding lies, behind the documents unless given; it makes no difference either. */
  paddingSide?: "left" | "right";
}

/** Where documents of these lengths lie, those of a row one after the other. */
function layOut(
  rows: readonly (readonly number[])[],
  { padToMultipleOf = 8, paddingSide = "right" }: PaddingOptions,
): Layout {
  const widths = rows.map((lengths) => lengths.reduce((sum, n) => sum + n, 0));
  const length = Math.ceil(largest(widths) / padToMultipleOf) * padToMultipleOf;
  const documents: Document[] = [];
  for (const [row, lengths] of rows.entries()) {
    let first = paddingSide === "left" ? length - (widths[row] as number) : 0;
    for (const n of lengths) {
      documents.push({ row, first, length: n });
      first += n;
    }
  }
  return { batchSize: rows.length, length, documents };
}

/** Writes a value for each token of the documents, which are given in their order, into an array `[batchSize, length]`. */
export function fillDocuments<T extends Uint32Array | Int32Array>(
  into: T,
  { length, documents }: Layout,
  values: readonly (readonly number[])[],
): T {
  for (const [i, { row, first }] of documents.entries()) into.set(values[i] ?? [], row * length + first);
  return into;
}

/** Rows of documents, each of which sees itself alone, padded to one length. */
export function packRows(
  rows: readonly (readonly (readonly number[])[])[],
  options: PaddingOptions = {},
): TokenBatch {
  const layout = layOut(
    rows.map((documents) => documents.map(({ length }) => length)),
    options,
  );
  const { batchSize, length, documents } = layout;
  const ids = new Uint32Array(batchSize * length).fill(options.padTokenId ?? 0);
  const tokens = documents.reduce((sum, document) => sum + document.length, 0);
  const texts = rows.flat();
  return { ...layout, texts, inputIds: fillDocuments(ids, layout, texts), tokens };
}

/**
 * Sequences as one batch, one or more in each row.
 * @param predicts what a position predicts: the `next` token of its document, which leaves out each first one, or its `own`
 */
export function collateRows(
  rows: readonly (readonly LabelledTokens[])[],
  predicts: "next" | "own",
  options?: PaddingOptions,
): Batch {
  const batch = packTokens(rows, options);
  const targets = collectTargets(batch, rows.flat(), predicts === "next" ? 1 : 0);
  return { ...batch, targets, terms: targets.labels.length };
}

/** The labels that are ones, each `ahead` tokens behind the position that predicts it. */
function collectTargets(
  { inputIds, length, documents }: TokenBatch,
  sequences: readonly LabelledTokens[],
  ahead: number,
): Targets {
  const positions = new Uint32Array(inputIds.length);
  const labels = new Int32Array(inputIds.length);
  let count = 0;
  for (const [i, { row, first }] of documents.entries()) {
    const given = sequences[i]?.labels ?? [];
    const start = row * length + first - ahead;
    for (let at = ahead; at < given.length; at++) {
      if (given[at] === IGNORE_INDEX) continue;
      positions[count] = start + at;
      labels[count++] = given[at] as number;
    }
  }
  return { positions: positions.slice(0, count), labels: labels.slice(0, count) };
}

export function packTokens(
  rows: readonly (readonly LabelledTokens[])[],
  options?: PaddingOptions,
): TokenBatch {
  return packRows(
    rows.map((sequences) => sequences.map(({ inputIds }) => inputIds)),
    options,
  );
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
  { epoch = 0, index = 0, ...options }: GroupOptions<T> & { index?: number },
): Generator<StreamedGroup<T>, never, undefined> {
  for (let first = index; ; epoch++, first = 0) {
    const groups = makeGroups(items, { ...options, epoch });
    for (let i = first; i < groups.length; i++) {
      yield { epoch, index: i, isLast: i === groups.length - 1, items: groups[i]! };
    }
  }
}
