import type { Adapter } from "../../adapters/adapter.ts";
import type { ItemSource } from "../../data/feed/item-source.ts";
import { isItemSource } from "../../data/feed/item-source.ts";
import type { ShapeDevice } from "../../gpu/shape-device.ts";
import { append } from "../../util/arrays.ts";
import { withDefaults } from "../../util/options.ts";
import { type BatchFeed, openBatches } from "../batch-feed.ts";
import type { Counted, Objective } from "../objective.ts";
import { TRAINER_DEFAULTS } from "../trainer.ts";
import { type MeasuredOptions, type MemoryUse, measureBatches } from "./measure.ts";

/** Something to learn from, whose memory can be measured on a device that only counts. */
export interface Measurable {
  /** Tokens of the longest item; undefined where all are alike, or where they are not known beforehand. */
  readonly longest: number | undefined;
  /** Tokens that an item may have, a packed one among them; undefined where nobody said. */
  readonly maxLength: number | undefined;
  /** Trains on the largest batches that a run with these options has. */
  measure(shape: ShapeDevice, adapter: Adapter, options: MeasuredOptions): Promise<MemoryUse>;
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
  return {
    maxLength,
    longest:
      lengthOf && !isItemSource(items)
        ? items.reduce((most, item) => Math.max(most, lengthOf(item)), 0)
        : undefined,
    async measure(shape, adapter, options) {
      const settings = withDefaults(TRAINER_DEFAULTS, options);
      const feed = await openBatches(objective, items, {
        ...{ batchSplit: 1, ...settings },
        ...(maxLength !== undefined && { maxLength }),
      });
      // Where no item is longer than another, the first batch is as large as any.
      const most = lengthOf ? MOST_BATCHES : 1;
      const batches = largest(await takeBatches(feed, most));
      return measureBatches(shape, objective, adapter, batches, options);
    },
  };
}

/** Batches that are looked at for the largest. */
const MOST_BATCHES = 4096;

async function takeBatches<B>(feed: Pick<BatchFeed<B>, "batches">, most: number): Promise<B[]> {
  const taken: B[] = [];
  for await (const { batches, epoch } of feed.batches()) {
    if (epoch > 0) break;
    append(taken, batches);
    if (taken.length >= most) break;
  }
  return taken;
}

/** Those of which no other has both more to upload, padding included, and more terms. */
function largest<B extends Counted>(batches: readonly B[]): B[] {
  const sized = batches.map((batch) => ({ batch, size: elementsIn(batch), terms: batch.terms }));
  sized.sort((a, b) => b.size - a.size || b.terms - a.terms);
  const kept: B[] = [];
  let most = -1;
  for (const { batch, terms } of sized) {
    if (terms <= most) continue;
    most = terms;
    kept.push(batch);
  }
  return kept.length <= MOST_MEASURED ? kept : [...kept.slice(0, MOST_MEASURED - 1), kept.at(-1) as B];
}

/** Batches that are measured. */
const MOST_MEASURED = 4;

/** Elements of the arrays in a batch. */
function elementsIn(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return 0;
  return Object.values(value).reduce<number>((sum, part) => sum + elementsIn(part), 0);
}
