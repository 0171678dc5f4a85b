import type { Mixture } from "./order.ts";

/** An item, and the place of the row that it is made of. */
export interface SourceItem<Item> {
  /** As an objective takes it. */
  readonly item: Item;
  /** Of its row, from 0. */
  readonly place: number;
}

/**
 * Items that are made when they are needed, such as those of a file that is larger than memory. A run asks for the rows of a batch while
 * the device computes the one before.
 */
export interface ItemSource<Item> {
  /** The data sets whose rows these are. */
  readonly mixture: Mixture;
  /**
   * What the rows at these places give, in their order: an item each, none where a row is left out, or several where rows are cut into
   * parts. Places count the rows of all data sets, from 0.
   */
  get(places: readonly number[]): Promise<readonly SourceItem<Item>[]>;
  /** Whether most rows give several items, which are then mixed with those of other rows. */
  readonly splitsRows?: boolean;
  /** What messages call the row at a place. */
  nameOf(place: number): string;
}

/** Whether these are no items yet, but where they come from. */
export function isItemSource<Item>(items: readonly Item[] | ItemSource<Item>): items is ItemSource<Item> {
  return !Array.isArray(items) && typeof (items as Partial<ItemSource<Item>>)?.get === "function";
}

/** The items of a list, of data sets one behind another. */
export function listSource<Item>(
  items: readonly Item[],
  mixture: Mixture,
  nameOf: (place: number) => string,
): ItemSource<Item> {
  return {
    mixture,
    nameOf,
    get: async (places) => places.map((place) => ({ item: items[place] as Item, place })),
  };
}

/** The first ones alone: items of a list, or what the first rows of a source give. */
export function firstRows<Item>(
  items: readonly Item[] | ItemSource<Item>,
  most: number | undefined,
): readonly Item[] | ItemSource<Item> {
  if (most === undefined) return items;
  if (!isItemSource(items)) return items.slice(0, most);
  let left = most;
  const lengths = items.mixture.lengths.map((length) => {
    const taken = Math.min(length, left);
    left -= taken;
    return taken;
  });
  return { ...items, mixture: { ...items.mixture, lengths } };
}
