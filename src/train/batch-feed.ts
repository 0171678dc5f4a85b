import { checkItems, rowName } from "../data/check-items.ts";
import { type DataPlace, type Feed, listFeed } from "../data/feed/feed.ts";
import { type ItemSource, isItemSource, type SourceItem } from "../data/feed/item-source.ts";
import { rowOrder } from "../data/feed/order.ts";
import { type FedItem, type StreamOptions, streamFeed } from "../data/feed/stream-feed.ts";
import { type PackingStrategy, splitsItems } from "../data/packing.ts";
import { fail } from "../util/fail.ts";
import { createRandom } from "../util/random.ts";
import type { Counted, Objective } from "./objective.ts";
import { describePack, type PackingOptions, packer, packRun } from "./packed.ts";
import { ALONE, type Share } from "./peers.ts";

/** A micro-batch, and where in the data it stands. */
export interface FedBatch<B> {
  readonly epoch: number;
  /** The parts that it is computed in. */
  readonly batches: readonly B[];
  /** No batch of its epoch comes after it. */
  readonly isLast: boolean;
  /** Where the batch after it begins. */
  readonly next: DataPlace;
  /** What messages call the rows of each part. */
  names(): readonly (readonly string[])[];
}

/** What a run learns from: micro-batches, one after the other. */
export interface BatchFeed<B> {
  /** Batches of a pass over the data, by which the steps of a run are counted. */
  readonly perEpoch: number;
  /** Epoch after epoch without end, from a place on. */
  batches(from?: DataPlace): AsyncGenerator<FedBatch<B>, never, undefined>;
}

/** How items become micro-batches. */
export interface BatchOptions extends PackingOptions {
  /** Items of a micro-batch, of all processes together. */
  readonly batchSize: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly groupByLength: boolean;
  readonly packing: boolean | PackingStrategy;
  /** Parts that each micro-batch is computed in. */
  readonly batchSplit: number;
  /** The share of each micro-batch that is made here: the others are other processes'. */
  readonly share?: Share;
  /** A process that a short micro-batch leaves without items takes those of another one. */
  readonly fillsShares?: boolean;
}

/**
 * The micro-batches of a run. Items of a list are checked, and packed, before the first; those of a source as they come.
 * @throws LoraError for items that cannot be used, or where there are none
 */
export async function openBatches<Item, B extends Counted>(
  objective: Objective<Item, B>,
  items: readonly Item[] | ItemSource<Item>,
  options: BatchOptions,
): Promise<BatchFeed<B>> {
  const { packing, groupByLength, nameRow = rowName } = options;
  const drawing = drawingOf(options);
  if (isItemSource(items)) return openSource(objective, items, options);
  checkItems("train", items, objective, { isSplit: splitsItems(packing) });
  if (items.length === 0) fail("train", "there is nothing to train on", "see the report of dropped rows");
  if (groupByLength) checkGroups(objective, options);
  if (packing) {
    const { objective: packed, packs, nameRow } = packRun(objective, items, options);
    return collated(packed, listFeed(packs, drawing, nameRow), options);
  }
  const { lengthOf } = objective;
  return collated(
    objective,
    listFeed(items, { ...drawing, ...(groupByLength && { lengthOf }) }, nameRow),
    options,
  );
}

const drawingOf = ({ batchSize, shuffle, seed }: BatchOptions) => ({
  batchSize,
  ...(shuffle && { shuffleSeed: seed }),
});

function checkGroups<Item>({ lengthOf }: Objective<Item>, { packing }: BatchOptions): void {
  if (packing) fail("groupByLength", "packed sequences are all of like lengths", "leave it out, or packing");
  if (!lengthOf) fail("groupByLength", "the items of this objective have no lengths", "leave it out");
}

function collated<Item, B extends Counted>(
  { collate }: Objective<Item, B>,
  feed: Feed<Item>,
  { seed, batchSplit, share = ALONE, fillsShares = false }: BatchOptions,
): BatchFeed<B> {
  const random = createRandom(seed).fork("collate");
  const own = <T>(list: readonly T[]) => {
    const shares = partsOf(list, share.size);
    const at = fillsShares ? share.rank % shares.length : share.rank;
    return { before: shares.slice(0, at), parts: shares[at] ? partsOf(shares[at], batchSplit) : [] };
  };
  return {
    perEpoch: feed.groupsPerEpoch,
    async *batches(from) {
      const groups = feed.groups(from);
      try {
        for (;;) {
          const { items, epoch, index, isLast, next, names } = (await groups.next()).value;
          const drawn = random.fork(epoch).fork(index); // the same in however many parts
          const { before, parts } = own(items);
          for (const others of before) collate(others, drawn);
          const batches = parts.map((part) => collate(part, drawn));
          yield { epoch, batches, isLast, next, names: () => own(names()).parts };
        }
      } finally {
        await groups.return(undefined as never);
      }
    },
  };
}

/** A list in so many parts of like lengths, or in as many as it has items. */
function partsOf<T>(list: readonly T[], parts: number): (readonly T[])[] {
  const size = Math.ceil(list.length / parts);
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    list.slice(i * size, (i + 1) * size),
  );
}

/** Groups of like lengths come from so many at a time; transformers' number. */
const GROUPS_SORTED = 50;
/** Packed batches, about, of the rows that are packed together. */
const BATCHES_PACKED = 64;
/** Rows that are packed together at most: they are in memory, as tokens. */
const MOST_ROWS_PACKED = 50_000;

async function openSource<Item, B extends Counted>(
  objective: Objective<Item, B>,
  source: ItemSource<Item>,
  options: BatchOptions,
): Promise<BatchFeed<B>> {
  const { packing, groupByLength, batchSize } = options;
  if (groupByLength) checkGroups(objective, options);
  const isSplit = splitsItems(packing);
  const checked = (items: readonly SourceItem<Item>[]) => {
    const nameOf = (i: number) => source.nameOf(items[i]?.place ?? 0);
    checkItems(
      "train",
      items.map(({ item }) => item),
      objective,
      { isSplit, nameOf },
    );
    return items;
  };
  const rows = rowOrder(source.mixture).length;
  if (rows === 0) fail("train", "there is nothing to train on", "see the report of dropped rows");
  if (packing) return openPacked(objective, source, options, checked);
  const sorted = Math.max(1, Math.min(GROUPS_SORTED, Math.floor(rows / (4 * batchSize))));
  const { lengthOf } = objective;
  const stream: StreamOptions<Item, Item> = {
    ...drawingOf(options),
    window: source.splitsRows ? ROWS_MIXED : groupByLength ? sorted * batchSize : batchSize,
    mixes: source.splitsRows === true && !groupByLength,
    arrange(items) {
      const fed = checked(items).map(({ item, place }) => ({ item, places: [place] }));
      return groupByLength && lengthOf ? fed.sort((a, b) => lengthOf(b.item) - lengthOf(a.item)) : fed;
    },
    nameOf: ({ places }) => source.nameOf(places[0] as number),
  };
  return collated(objective, await streamFeed(source, stream), options);
}

/** Rows that are mixed with each other, of those that give several items each. */
const ROWS_MIXED = 16;

async function openPacked<Item, B extends Counted>(
  objective: Objective<Item, B>,
  source: ItemSource<Item>,
  options: BatchOptions,
  checked: (items: readonly SourceItem<Item>[]) => readonly SourceItem<Item>[],
): Promise<BatchFeed<B>> {
  const { objective: packed, maxLength, pack } = packer(objective, options);
  let { onPacking } = options;
  const stream: StreamOptions<Item, readonly Item[]> = {
    ...drawingOf(options),
    window: await rowsPacked(objective, source, options.batchSize * maxLength),
    mixes: true,
    arrange(items) {
      const nameOf = (i: number) => source.nameOf(items[i]?.place ?? 0);
      const { packs, places, report } = pack(
        checked(items).map(({ item }) => item),
        nameOf,
      );
      onPacking?.(report);
      onPacking = undefined;
      return packs.map((item, i): FedItem<readonly Item[]> => {
        return { item, places: (places[i] ?? []).map((at) => items[at]?.place ?? 0) };
      });
    },
    nameOf: ({ places }) => describePack(places.map(source.nameOf)),
  };
  return collated(packed, await streamFeed(source, stream), options);
}

/** Rows that are looked at for how long rows are. */
const ROWS_MEASURED = 256;

/** Rows that fill some batches, by the lengths of a sample. */
async function rowsPacked<Item>(
  { lengthOf }: Objective<Item>,
  source: ItemSource<Item>,
  tokensInBatch: number,
): Promise<number> {
  const rows = source.mixture.lengths.reduce((sum, length) => sum + length, 0);
  const count = Math.min(rows, ROWS_MEASURED);
  const places = Array.from({ length: count }, (_, i) => Math.floor((i * rows) / count));
  const items = await source.get(places);
  const tokens = items.reduce((sum, { item }) => sum + (lengthOf?.(item) ?? 1), 0);
  const wanted = Math.ceil((BATCHES_PACKED * tokensInBatch * count) / Math.max(1, tokens));
  return Math.min(wanted, MOST_ROWS_PACKED);
}
