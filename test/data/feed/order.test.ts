import { expect, test } from "vitest";
import { makeGroups } from "../../../src/data/batch.ts";
import { drawnRows, rowOrder } from "../../../src/data/feed/order.ts";

test("all rows come in the order of a list of as many items", () => {
  const order = rowOrder({ lengths: [7, 5] }, 9);
  expect(order.length).toBe(12);
  for (const epoch of [0, 1]) {
    const items = Array.from({ length: 12 }, (_, i) => i);
    const wanted = makeGroups(items, { batchSize: 12, shuffleSeed: 9, epoch })[0];
    expect([...order.places(epoch)]).toEqual(wanted);
  }
  expect([...rowOrder({ lengths: [2, 1] }).places(3)]).toEqual([0, 1, 2]);
});

/** How often each row of each data set was drawn. */
function drawn(order: ReturnType<typeof rowOrder>, lengths: readonly number[], epochs: number): number[][] {
  const counts = lengths.map((length) => new Array<number>(length).fill(0));
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const place of order.places(epoch)) {
      const set = place < (lengths[0] as number) ? 0 : 1;
      const row = place - (set === 0 ? 0 : (lengths[0] as number));
      counts[set]![row]!++;
    }
  }
  return counts;
}

test.each([undefined, 3])(
  "data sets with weights are drawn by their shares, all rows of one equally (seed %s)",
  (seed) => {
    const lengths = [10, 100];
    const order = rowOrder({ lengths, weights: [1, 3] }, seed);
    expect(order.length).toBe(40); // the first is exhausted
    const [small = [], large = []] = drawn(order, lengths, 1);
    expect(small).toEqual(new Array(10).fill(1));
    expect(large.reduce((a, b) => a + b)).toBe(30);
    expect(Math.max(...large)).toBe(1);
    // Ten passes go on where the one before stopped: 300 draws of 100 rows.
    expect(drawn(order, lengths, 10)).toEqual([new Array(10).fill(10), new Array(100).fill(3)]);
    expect([...order.places(1)]).toEqual([...rowOrder({ lengths, weights: [2, 6] }, seed).places(1)]);
    expect([...order.places(1)]).not.toEqual([...order.places(0)]);
  },
);

test("a pass may go on until all are exhausted", () => {
  const lengths = [10, 100];
  const order = rowOrder({ lengths, weights: [1, 1], stopping: "all_exhausted" }, 1);
  expect(drawn(order, lengths, 1)).toEqual([new Array(10).fill(10), new Array(100).fill(1)]);
});

test("without a seed the turns are even", () => {
  const order = rowOrder({ lengths: [9, 3], weights: [3, 1] });
  expect([...order.places(0)].map((place) => (place < 9 ? "a" : "B")).join("")).toMatch(
    /^(aaBa){3}$|^(aBaa){3}$/,
  );
});

test("a data set may have no weight", () => {
  expect(drawnRows([5, 7], [0, 2])).toEqual([0, 7]);
  expect(() => rowOrder({ lengths: [2 ** 31, 2 ** 31] })).toThrow(/there are 4294967296 rows/);
});
