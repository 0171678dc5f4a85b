import { Ahead } from "../../util/ahead.ts";
import { fail } from "../../util/fail.ts";
import { createRandom } from "../../util/random.ts";
import type { DataPlace, FedGroup, Feed } from "./feed.ts";
import type { ItemSource, SourceItem } from "./item-source.ts";
import { type RowOrder, rowOrder } from "./order.ts";

/** Something that is fed, and the rows that it is made of. */
export interface FedItem<Fed> {
  readonly item: Fed;
  readonly places: readonly number[];
}

/** How the items of a source become groups: window by window of the rows in their order. */
export interface StreamOptions<Item, Fed> {
  /** Items in a group; the last group of a window may have fewer. */
  readonly batchSize: number;
  /** Shuffles by this seed and the epoch; the order stays as given without it. */
  readonly shuffleSeed?: number;
  /** Rows of a window. */
  readonly window: number;
  /** What becomes of the items of a window; they are drawn in this order unless `mixes`. */
  arrange(items: readonly SourceItem<Item>[]): readonly FedItem<Fed>[];
  /** Whether what a window has become is shuffled. */
  readonly mixes: boolean;
  /** What messages call an item. */
  nameOf(item: FedItem<Fed>): string;
}

/** Rows that are asked for at a time, so that others get their turn while a window is made. */
const ROWS_ASKED = 64;
/** More groups than a window that mixes has. */
const STRIDE = 2 ** 20;

/**
 * The items of a source. A row that is left out leaves its place in the batch empty, so that an epoch is all rows, and places tell at once
 * where to go on; they count groups, of windows that are mixed each from a multiple of 2²⁰.
 * Windows are made ahead of need. The groups of a pass are counted by the first window where they depend on what rows hold.
 */
export async function streamFeed<Item, Fed>(
  source: ItemSource<Item>,
  options: StreamOptions<Item, Fed>,
): Promise<Feed<Fed>> {
  const { batchSize, window, mixes, shuffleSeed } = options;
  const order = rowOrder(source.mixture, shuffleSeed);
  const windows = Math.ceil(order.length / window);
  const perWindow = mixes ? STRIDE : Math.ceil(window / batchSize);
  const counted = mixes ? await countGroups(source, options, order) : Math.ceil(order.length / batchSize);
  return {
    groupsPerEpoch: counted,
    async *groups({ epoch, index } = { epoch: 0, index: 0 }) {
      const start = { epoch, index: Math.floor(index / perWindow) };
      let skipped = index % perWindow;
      let left = windows; // until nothing has come of a whole pass
      const made = new Ahead(windowStream(source, options, order, start));
      try {
        for (;;) {
          const { epoch, number, items } = (await made.next()) as Window<Fed>;
          made.prepare();
          const groups = Math.ceil(items.length / batchSize);
          left = groups > 0 ? windows : left - 1;
          if (left === 0) fail("train", "every row of a whole pass is left out", "see what is said of them");
          for (let group = skipped; group < groups; group++) {
            yield groupOf(items.slice(group * batchSize, (group + 1) * batchSize), options, {
              here: { epoch, index: number * perWindow + group },
              next: placeBehind({ epoch, number, group }, { groups, windows, perWindow }),
            });
          }
          skipped = 0;
        }
      } finally {
        await made.close();
      }
    },
  };
}

function groupOf<Fed>(
  items: readonly FedItem<Fed>[],
  { nameOf }: Pick<StreamOptions<never, Fed>, "nameOf">,
  { here, next }: { here: DataPlace; next: DataPlace },
): FedGroup<Fed> {
  return {
    ...here,
    next,
    isLast: next.epoch !== here.epoch,
    items: items.map(({ item }) => item),
    names: () => items.map(nameOf),
  };
}

function placeBehind(
  { epoch, number, group }: { epoch: number; number: number; group: number },
  { groups, windows, perWindow }: { groups: number; windows: number; perWindow: number },
): DataPlace {
  if (group + 1 < groups) return { epoch, index: number * perWindow + group + 1 };
  return number + 1 < windows ? { epoch, index: (number + 1) * perWindow } : { epoch: epoch + 1, index: 0 };
}

interface Window<Fed> {
  readonly epoch: number;
  /** In its epoch, from 0. */
  readonly number: number;
  readonly items: readonly FedItem<Fed>[];
}

async function* windowStream<Item, Fed>(
  source: ItemSource<Item>,
  options: StreamOptions<Item, Fed>,
  order: RowOrder,
  start: DataPlace,
): AsyncGenerator<Window<Fed>, never> {
  let first = start.index;
  for (let epoch = start.epoch; ; epoch++, first = 0) {
    const places = order.places(epoch);
    for (let number = first; number * options.window < places.length; number++) {
      yield { epoch, number, items: await makeWindow(source, options, places, { epoch, number }) };
    }
  }
}

async function makeWindow<Item, Fed>(
  source: ItemSource<Item>,
  { window, arrange, mixes, shuffleSeed }: StreamOptions<Item, Fed>,
  places: Uint32Array,
  { epoch, number }: { epoch: number; number: number },
): Promise<readonly FedItem<Fed>[]> {
  const items: SourceItem<Item>[] = [];
  const end = Math.min((number + 1) * window, places.length);
  for (let at = number * window; at < end; at += ROWS_ASKED) {
    for (const item of await source.get([...places.subarray(at, Math.min(at + ROWS_ASKED, end))])) {
      items.push(item);
    }
  }
  const arranged = arrange(items);
  if (!mixes || shuffleSeed === undefined) return arranged;
  return createRandom(shuffleSeed)
    .fork("window")
    .fork(epoch)
    .fork(number)
    .shuffle([...arranged]);
}

/** Groups of a pass, if all windows are as the first one of the first pass. */
async function countGroups<Item, Fed>(
  source: ItemSource<Item>,
  options: StreamOptions<Item, Fed>,
  order: RowOrder,
): Promise<number> {
  const { window, batchSize } = options;
  const items = await makeWindow(source, options, order.places(0), { epoch: 0, number: 0 });
  const groups = Math.ceil(items.length / batchSize);
  const rows = Math.min(window, order.length);
  return rows === order.length ? groups : Math.ceil((groups * order.length) / rows);
}
