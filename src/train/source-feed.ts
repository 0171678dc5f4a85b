import { checkItems } from "../data/check-items.ts";
import type { ItemSource, SourceItem } from "../data/feed/item-source.ts";
import { rowOrder } from "../data/feed/order.ts";
import { type FedItem, type StreamOptions, streamFeed } from "../data/feed/stream-feed.ts";
import { splitsItems } from "../data/packing.ts";
import { fail } from "../util/fail.ts";
import { type BatchFeed, type BatchOptions, checkGroups, collated, drawingOf } from "./collated.ts";
import type { Counted, Objective } from "./objective.ts";
import { describePack, packer } from "./packed.ts";

/** Groups of like lengths come from so many at a time; transformers' number. */
const GROUPS_SORTED = 50;
/** Packed batches, about, of the rows that are packed together. */
const BATCHES_PACKED = 64;
/** Rows that are packed together at most: they are in memory, as tokens. */
const MOST_ROWS_PACKED = 50_000;

/**
 * The micro-batches of items that are made when they are needed.
 * @throws LoraError where there are none, or they cannot be grouped or packed; later, for items that cannot be used
 */
export async function openSource<Item, B extends Counted>(
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
