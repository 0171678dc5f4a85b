import type { Adapter } from "../../adapters/adapter.ts";
import type { ItemSource } from "../../data/feed/item-source.ts";
import { isItemSource } from "../../data/feed/item-source.ts";
import type { ShapeDevice } from "../../gpu/shape-device.ts";
import { append } from "../../util/arrays.ts";
import { withDefaults } from "../../util/options.ts";
import type { Random } from "../../util/random.ts";
import { openBatches } from "../batch-feed.ts";
import type { BatchFeed } from "../collated.ts";
import type { Counted, Objective } from "../objective.ts";
import { TRAINER_DEFAULTS } from "../trainer-options.ts";
import { type MeasuredOptions, type MemoryUse, measureBatches } from "./measure.ts";
import { measureEvaluation } from "./other-passes.ts";

/** Something to learn from, whose memory can be measured on a device that only counts. */
export interface Measurable {
  /** Tokens of the longest item; undefined where all are alike, or where they are not known beforehand. */
  readonly longest: number | undefined;
  /** Tokens that an item may have, a packed one among them; undefined where nobody said. */
  readonly maxLength: number | undefined;
  /** Trains on the largest batches that a run with these options has. */
  measure(shape: ShapeDevice, adapter: Adapter, options: MeasuredOptions): Promise<MemoryUse>;
  /** Evaluates the largest batches of so many rows. @returns bytes that it takes beside what is held before it */
  measureEvaluation(shape: ShapeDevice, batchSize: number): Promise<number>;
}

/**
 * The items of an objective, for a plan.
 * @param objective of a model on a device that only counts
 * @param maxLength tokens that an item may have
 */
export function measurable<Item, B extends Counted>(
  objective: Objective<Item, B>,
  items: readonly Item[] | ItemSource<Item>,
  maxLength?: number,
): Measurable {
  const { lengthOf } = objective;
  const largestOf = async (options: MeasuredOptions): Promise<B[]> => {
    const feed = await openBatches(unmade(objective), items, {
      ...{ batchSplit: 1, ...withDefaults(TRAINER_DEFAULTS, options) },
      ...(maxLength !== undefined && { maxLength }),
    });
    // Where no item is longer than another, the first batch is as large as any.
    const most = lengthOf ? (isItemSource(items) ? MOST_STREAMED : Number.POSITIVE_INFINITY) : 1;
    return largest(await takeBatches(feed, most)).map((batch) => batch.make());
  };
  return {
    maxLength,
    longest:
      lengthOf && !isItemSource(items)
        ? items.reduce((most, item) => Math.max(most, lengthOf(item)), 0)
        : undefined,
    async measure(shape, adapter, options) {
      return measureBatches(shape, objective, adapter, await largestOf(options), options);
    },
    async measureEvaluation(shape, batchSize) {
      return measureEvaluation(shape, objective, await largestOf({ batchSize }));
    },
  };
}

/** Batches of rows that have to be read and tokenised first, that are looked at for the largest. */
const MOST_STREAMED = 64;
/** Batches that are measured. */
const MOST_MEASURED = 4;

/** A batch that is put together where it turns out to be a large one. */
interface Unmade<B> extends Counted {
  /** Tokens, padding included. */
  readonly padded: number;
  make(): B;
}

/** The objective with batches that are not made yet. */
function unmade<Item, B extends Counted>(objective: Objective<Item, B>): Objective<Item, Unmade<B>> {
  const { collate, pack, lengthOf = () => 1, loss: _, placing: __, ...rest } = objective;
  const batchOf = (lengths: readonly number[], make: () => B): Unmade<B> => {
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    return { tokens, terms: tokens, padded: lengths.length * longest, make };
  };
  const lengthOfRow = (row: readonly Item[]) => row.reduce((sum, item) => sum + lengthOf(item), 0);
  return {
    ...rest,
    ...(objective.lengthOf && { lengthOf }),
    collate: (items, random) => batchOf(items.map(lengthOf), () => collate(items, random)),
    ...(pack && {
      pack: (rows: readonly (readonly Item[])[], random: Random) =>
        batchOf(rows.map(lengthOfRow), () => pack(rows, random)),
    }),
    loss: () => {
      throw new Error("a batch that is not made has no loss; this is a bug in the engine");
    },
  };
}

async function takeBatches<B>(feed: Pick<BatchFeed<B>, "batches">, most: number): Promise<B[]> {
  const taken: B[] = [];
  for await (const { batches, epoch } of feed.batches()) {
    if (epoch > 0) break;
    append(taken, batches);
    if (taken.length >= most) break;
  }
  return taken;
}

/** Those of which no other has both more tokens with padding and more without it, the first of them. */
function largest<B>(batches: readonly Unmade<B>[]): Unmade<B>[] {
  const sorted = [...batches].sort((a, b) => b.padded - a.padded || b.tokens - a.tokens);
  let most = -1;
  const kept = sorted.filter(({ tokens }) => {
    if (tokens <= most) return false;
    most = tokens;
    return true;
  });
  return kept.length <= MOST_MEASURED
    ? kept
    : [...kept.slice(0, MOST_MEASURED - 1), kept.at(-1) as Unmade<B>];
}
