import { checkItems, rowName } from "../data/check-items.ts";
import { listFeed } from "../data/feed/feed.ts";
import { type ItemSource, isItemSource } from "../data/feed/item-source.ts";
import { splitsItems } from "../data/packing.ts";
import { fail } from "../util/fail.ts";
import { type BatchFeed, type BatchOptions, checkGroups, collated, drawingOf } from "./collated.ts";
import type { Counted, Objective } from "./objective.ts";

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
  if (isItemSource(items)) {
    const { openSource } = await import("./source-feed.ts"); // rows that lie in files
    return openSource(objective, items, options);
  }
  checkItems("train", items, objective, { isSplit: splitsItems(packing) });
  if (items.length === 0) fail("train", "there is nothing to train on", "see the report of dropped rows");
  if (groupByLength) checkGroups(objective, options);
  if (packing) {
    const { packRun } = await import("./packed.ts");
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
