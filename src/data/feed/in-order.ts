import { type ItemSource, isItemSource, type SourceItem } from "./item-source.ts";

/** Rows that are asked for at a time where all of them are. */
const ROWS_ASKED = 64;

/** All items in their order, some of a source's at a time; a list's place is the item's own. */
export async function* inOrder<Item>(
  items: readonly Item[] | ItemSource<Item>,
): AsyncGenerator<readonly SourceItem<Item>[]> {
  if (!isItemSource(items)) {
    yield items.map((item, place) => ({ item, place }));
    return;
  }
  const rows = items.mixture.lengths.reduce((sum, length) => sum + length, 0);
  for (let at = 0; at < rows; at += ROWS_ASKED) {
    yield await items.get(Array.from({ length: Math.min(ROWS_ASKED, rows - at) }, (_, i) => at + i));
  }
}
