import { expect, test } from "vitest";
import { groupStream } from "../../../src/data/batch.ts";
import { type DataPlace, type Feed, listFeed } from "../../../src/data/feed/feed.ts";
import { Ahead } from "../../../src/util/ahead.ts";

const ITEMS = Array.from({ length: 10 }, (_, i) => `item ${i}`);

async function take<Item>(feed: Feed<Item>, count: number, from?: DataPlace) {
  const taken: { place: DataPlace; items: readonly Item[]; next: DataPlace; isLast: boolean }[] = [];
  const groups = feed.groups(from);
  while (taken.length < count) {
    const { epoch, index, items, next, isLast } = (await groups.next()).value;
    taken.push({ place: { epoch, index }, items, next, isLast });
  }
  return taken;
}

test("a list is fed as its groups come, each with the place of the next", async () => {
  const options = { batchSize: 4, shuffleSeed: 3 };
  const feed = listFeed(ITEMS, options, (place) => `row ${place}`);
  expect(feed.groupsPerEpoch).toBe(3);
  const stream = groupStream(ITEMS, options);
  const wanted = Array.from({ length: 7 }, () => stream.next().value);
  const all = await take(feed, 7);
  expect(all.map(({ items }) => items)).toEqual(wanted.map(({ items }) => items));
  expect(all.map(({ isLast }) => isLast)).toEqual(wanted.map(({ isLast }) => isLast));
  for (const [i, { next }] of all.entries()) {
    if (i + 1 < all.length) expect(next).toEqual(all[i + 1]?.place);
    expect(await take(feed, 6 - i, next)).toEqual(all.slice(i + 1));
  }
});

test("a group names its items", async () => {
  const feed = listFeed(ITEMS, { batchSize: 2 }, (place) => `line ${place + 1}`);
  expect((await feed.groups().next()).value.names()).toEqual(["line 1", "line 2"]);
});

test("a value is made ahead once it is asked for, and its error is told when it is taken", async () => {
  const made: number[] = [];
  let isClosed = false;
  async function* source() {
    try {
      for (let i = 0; i < 2; i++) {
        made.push(i);
        yield i;
      }
      throw new Error("no more");
    } finally {
      isClosed = true;
    }
  }
  const ahead = new Ahead(source());
  expect(await ahead.next()).toBe(0);
  expect(made).toEqual([0]);
  ahead.prepare();
  ahead.prepare();
  expect(made).toEqual([0, 1]);
  expect(await ahead.next()).toBe(1);
  ahead.prepare();
  await new Promise((resolve) => setTimeout(resolve, 1));
  await expect(ahead.next()).rejects.toThrow("no more");
  await ahead.close();
  expect(isClosed).toBe(true);
});
