import { groupStream } from "../batch.ts";

/** Where a run is in its data: with the same data and options enough to go on from there. */
export interface DataPlace {
  /** Pass over the data, from 0. */
  readonly epoch: number;
  /** Where in the pass; what it counts is the feed's own affair. */
  readonly index: number;
}

/** Some items that make a micro-batch. */
export interface FedGroup<Item> extends DataPlace {
  readonly items: readonly Item[];
  /** No group of its epoch comes after it. */
  readonly isLast: boolean;
  /** Where the group after it begins. */
  readonly next: DataPlace;
  /** What messages call its items. */
  names(): readonly string[];
}

/** What a run learns from: groups of items, one after the other. */
export interface Feed<Item> {
  /** Groups of a pass over the data, by which the steps of a run are counted. */
  readonly groupsPerEpoch: number;
  /** Epoch after epoch without end, from a place on. */
  groups(from?: DataPlace): AsyncGenerator<FedGroup<Item>, never, undefined>;
}

/** How items are drawn. */
export interface FeedOptions<Item> {
  /** Items in a group; the last group of an epoch may have fewer. */
  readonly batchSize: number;
  /** Shuffles by this seed and the epoch; the order stays as given without it. */
  readonly shuffleSeed?: number;
  /** Tokens of an item: where it is given, a group holds items of like lengths. */
  readonly lengthOf?: ((item: Item) => number) | undefined;
}

/** The items of a list; places count groups. */
export function listFeed<Item>(
  items: readonly Item[],
  { lengthOf, ...options }: FeedOptions<Item>,
  nameRow: (place: number) => string,
): Feed<Item> {
  return {
    groupsPerEpoch: Math.ceil(items.length / options.batchSize),
    async *groups(from) {
      const stream = groupStream([...items.keys()], {
        ...options,
        ...from,
        ...(lengthOf && { lengthOf: (place: number) => lengthOf(items[place] as Item) }),
      });
      for (;;) {
        const { epoch, index, isLast, items: places } = stream.next().value;
        yield {
          epoch,
          index,
          isLast,
          next: isLast ? { epoch: epoch + 1, index: 0 } : { epoch, index: index + 1 },
          items: places.map((place) => items[place] as Item),
          names: () => places.map(nameRow),
        };
      }
    },
  };
}
