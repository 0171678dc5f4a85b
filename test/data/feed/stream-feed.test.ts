import { expect, test } from "vitest";
import { type DataPlace, type Feed, listFeed } from "../../../src/data/feed/feed.ts";
import { type ItemSource, listSource, type SourceItem } from "../../../src/data/feed/item-source.ts";
import { type StreamOptions, streamFeed } from "../../../src/data/feed/stream-feed.ts";

const ITEMS = Array.from({ length: 23 }, (_, i) => `item ${i}`);
const nameOf = (place: number) => `line ${place + 1}`;
const SOURCE = listSource(ITEMS, { lengths: [ITEMS.length] }, nameOf);

const options = (more: Partial<StreamOptions<string, string>> = {}): StreamOptions<string, string> => ({
  batchSize: 2,
  shuffleSeed: 5,
  window: 2,
  mixes: false,
  arrange: (items) => items.map(({ item, place }) => ({ item, places: [place] })),
  nameOf: ({ places }) => nameOf(places[0] as number),
  ...more,
});

/** A source that gives several items for a row, or none. */
const giving = (items: (place: number) => readonly string[]): ItemSource<string> => ({
  ...SOURCE,
  get: async (places) =>
    places.flatMap((place) => items(place).map((item): SourceItem<string> => ({ item, place }))),
});

async function take<Item>(feed: Feed<Item>, epochs: number, from?: DataPlace) {
  const taken: { place: DataPlace; items: readonly Item[]; next: DataPlace; names: readonly string[] }[] = [];
  const groups = feed.groups(from);
  for (;;) {
    const { epoch, index, items, next, names, isLast } = (await groups.next()).value;
    taken.push({ place: { epoch, index }, items, next, names: names() });
    if (isLast && epoch === epochs - 1) break;
  }
  await groups.return(undefined as never);
  return taken;
}

test("rows that are read when they are needed come in the order of a list", async () => {
  for (const shuffleSeed of [undefined, 5]) {
    const drawing = { batchSize: 2, ...(shuffleSeed !== undefined && { shuffleSeed }) };
    const list = listFeed(ITEMS, drawing, nameOf);
    const { shuffleSeed: _, ...rest } = options();
    const stream = await streamFeed(SOURCE, { ...rest, ...drawing });
    expect(stream.groupsPerEpoch).toBe(list.groupsPerEpoch);
    expect(await take(stream, 3)).toEqual(await take(list, 3));
  }
});

test("a row that is left out leaves its place empty, and an epoch is all rows", async () => {
  const dropping = giving((place) => (place % 3 === 0 ? [] : [ITEMS[place] as string]));
  const feed = await streamFeed(dropping, options());
  const whole = await take(await streamFeed(SOURCE, options()), 2);
  const kept = whole.map(({ items, ...group }) => ({
    ...group,
    items: items.filter((item) => Number(item.slice(5)) % 3 !== 0),
  }));
  expect((await take(feed, 2)).map(({ place, items }) => [place, items])).toEqual(
    kept.filter(({ items }) => items.length > 0).map(({ place, items }) => [place, items]),
  );
  expect(feed.groupsPerEpoch).toBe(12);
  const nothing = (
    await streamFeed(
      giving(() => []),
      options(),
    )
  ).groups();
  await expect(nothing.next()).rejects.toThrow(/every row of a whole pass is left out/);
});

test.each([
  ["one group a window", options()],
  ["several in order", options({ window: 6, batchSize: 3 })],
  ["several, mixed", options({ window: 6, mixes: true })],
])("%s: a run goes on from any place", async (_, given) => {
  const some = giving((place) => Array.from({ length: place % 3 }, (_, i) => `${place}.${i}`));
  const feed = await streamFeed(given.mixes ? some : SOURCE, given);
  const all = await take(feed, 2);
  for (const [i, { place, next }] of all.entries()) {
    if (i + 1 < all.length) expect(next).toEqual(all[i + 1]?.place);
    expect(await take(feed, 2, place)).toEqual(all.slice(i));
  }
});

test("parts of rows are mixed, and groups are counted by the first window", async () => {
  const parts = giving((place) => Array.from({ length: 4 }, (_, i) => `${place}.${i}`));
  const given = options({ window: 5, batchSize: 3, mixes: true });
  const feed = await streamFeed(parts, given);
  expect(feed.groupsPerEpoch).toBe(Math.ceil((7 * 23) / 5));
  const epochs = await take(feed, 2);
  const items = (epoch: number) =>
    epochs.filter(({ place }) => place.epoch === epoch).flatMap((group) => group.items);
  expect(new Set(items(0)).size).toBe(4 * 23);
  expect([...items(0)].sort()).toEqual([...items(1)].sort());
  expect(items(0)).not.toEqual(items(1));
  const first = epochs[0]?.items.map((item) => item.split(".")[0]);
  expect(new Set(first).size).toBeGreaterThan(1);
  expect(await take(await streamFeed(parts, given), 2)).toEqual(epochs);
});

test("windows are made one ahead of need, and no more", async () => {
  const asked: number[] = [];
  const counting: ItemSource<string> = {
    ...SOURCE,
    get: (places) => {
      asked.push(places.length);
      return SOURCE.get(places);
    },
  };
  const groups = (await streamFeed(counting, options())).groups();
  expect(asked).toEqual([]);
  await groups.next();
  expect(asked).toEqual([2, 2]);
  await groups.next();
  expect(asked).toEqual([2, 2, 2]);
  await groups.return(undefined as never);
});
