import type { DataPlace, Feed } from "../data/feed/feed.ts";
import type { PackingStrategy } from "../data/packing.ts";
import { fail } from "../util/fail.ts";
import { createRandom } from "../util/random.ts";
import type { Counted, Objective } from "./objective.ts";
import type { PackingOptions } from "./packed.ts";
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

/** How items are drawn into groups. */
export const drawingOf = ({ batchSize, shuffle, seed }: BatchOptions) => ({
  batchSize,
  ...(shuffle && { shuffleSeed: seed }),
});

/** @throws LoraError where items cannot be grouped by their lengths */
export function checkGroups<Item>({ lengthOf }: Objective<Item>, { packing }: BatchOptions): void {
  if (packing) fail("groupByLength", "packed sequences are all of like lengths", "leave it out, or packing");
  if (!lengthOf) fail("groupByLength", "the items of this objective have no lengths", "leave it out");
}

/** Groups of items made into micro-batches. */
export function collated<Item, B extends Counted>(
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
