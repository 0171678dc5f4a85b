import { makeGroups } from "../data/batch.ts";
import { checkItems } from "../data/check-items.ts";
import { inOrder } from "../data/feed/in-order.ts";
import { type ItemSource, isItemSource, type SourceItem } from "../data/feed/item-source.ts";
import { Ahead } from "../util/ahead.ts";
import { fail } from "../util/fail.ts";
import type { Counted, Objective } from "./objective.ts";

/** Some items that are judged together. */
export interface JudgedGroup<Item> {
  readonly items: readonly Item[];
  /** What messages call them. */
  names(): string[];
}

/** How items are put together. */
interface GroupOptions {
  readonly batchSize: number;
  /** What messages call an item of a list, by its place. */
  readonly nameRow: (place: number) => string;
}

/**
 * Items in their order, so many at a time. Those of a list are checked before the first; those of a source as they come, some of
 * them in memory, while the device computes.
 * @throws LoraError for items that cannot be used, or where a source gives none
 */
export async function* judgedGroups<Item, B extends Counted>(
  where: string,
  objective: Objective<Item, B>,
  items: readonly Item[] | ItemSource<Item>,
  { batchSize, nameRow }: GroupOptions,
): AsyncGenerator<JudgedGroup<Item>> {
  if (isItemSource(items)) {
    yield* groupsOfSource(where, objective, items, batchSize);
    return;
  }
  checkItems(where, items, objective);
  for (const places of makeGroups([...items.keys()], { batchSize })) {
    yield { items: places.map((place) => items[place] as Item), names: () => places.map(nameRow) };
  }
}

async function* groupsOfSource<Item, B extends Counted>(
  where: string,
  objective: Objective<Item, B>,
  source: ItemSource<Item>,
  batchSize: number,
): AsyncGenerator<JudgedGroup<Item>> {
  const made = new Ahead(inOrder(source));
  let waiting: readonly SourceItem<Item>[] = [];
  let groups = 0;
  const groupOf = (of: readonly SourceItem<Item>[]): JudgedGroup<Item> => {
    const names = () => of.map(({ place }) => source.nameOf(place));
    const items = of.map(({ item }) => item);
    checkItems(where, items, objective, { nameOf: (i) => names()[i] as string });
    groups++;
    return { items, names };
  };
  try {
    for (let read = await made.next(); read; read = await made.next()) {
      made.prepare();
      waiting = [...waiting, ...read];
      for (; waiting.length >= batchSize; waiting = waiting.slice(batchSize)) {
        yield groupOf(waiting.slice(0, batchSize));
      }
    }
    if (waiting.length > 0) yield groupOf(waiting);
  } finally {
    await made.close();
  }
  if (groups === 0) fail(where, "every row is left out", "see what is said of them");
}
