import { describe, expect, test } from "vitest";
import { groupStream, makeGroups } from "../../src/data/batch.ts";
import { IGNORE_INDEX } from "../../src/data/sequence.ts";
import { createRandom } from "../../src/util/random.ts";
import { collate } from "../support/layouts.ts";

const sequence = (length: number, id: number) => ({
  inputIds: new Array<number>(length).fill(id),
  labels: [IGNORE_INDEX, ...new Array<number>(length - 1).fill(id)],
});
const sequences = Array.from({ length: 10 }, (_, i) => sequence(i + 3, i + 1));
const order = (options: { shuffleSeed?: number; epoch?: number }) =>
  makeGroups(sequences, { batchSize: 1, ...options }).map(([only]) => only?.inputIds[0]);

test("pads on the right to a multiple and counts", () => {
  const batch = collate(sequences.slice(0, 2), { padTokenId: 9, padToMultipleOf: 6 });
  expect(batch).toMatchObject({ batchSize: 2, length: 6, tokens: 7, terms: 5 });
  expect([...batch.inputIds]).toEqual([1, 1, 1, 9, 9, 9, 2, 2, 2, 2, 9, 9]);
  expect([...batch.targets.positions]).toEqual([0, 1, 6, 7, 8]);
  expect([...batch.targets.labels]).toEqual([1, 1, 2, 2, 2]);
});

test("the last group of an epoch may be smaller", () => {
  const sizes = makeGroups(sequences, { batchSize: 4 }).map(({ length }) => length);
  expect(sizes).toEqual([4, 4, 2]);
});

test("lengths are multiples of 8 unless told otherwise", () => {
  expect(sequences.map((row) => collate([row], {}).length)).toEqual([8, 8, 8, 8, 8, 8, 16, 16, 16, 16]);
});

test("each epoch holds every sequence once, in an order of its own that repeats", () => {
  expect(order({})).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const first = order({ shuffleSeed: 1, epoch: 0 });
  expect([...first].sort((a, b) => a! - b!)).toEqual(order({}));
  expect(first).not.toEqual(order({}));
  expect(order({ shuffleSeed: 1, epoch: 0 })).toEqual(first);
  expect(order({ shuffleSeed: 1, epoch: 1 })).not.toEqual(first);
  expect(order({ shuffleSeed: 2, epoch: 0 })).not.toEqual(first);
});

test("the stream goes over the epochs and can begin anywhere", () => {
  const options = { batchSize: 4, shuffleSeed: 3 };
  const take = (from: object, n: number) => {
    const stream = groupStream(sequences, { ...options, ...from });
    return Array.from({ length: n }, () => stream.next().value);
  };
  const all = take({}, 8);
  expect(all.map(({ epoch, index }) => [epoch, index])).toEqual([
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 0],
    [1, 1],
    [1, 2],
    [2, 0],
    [2, 1],
  ]);
  expect(take({ epoch: 1, index: 1 }, 4)).toEqual(all.slice(4));
});

describe("groups of like lengths", () => {
  const random = createRandom(5);
  const lengths = Array.from({ length: 1000 }, () => 1 + random.integer(100));
  const group = (options: object, items: readonly number[] = lengths) =>
    makeGroups([...items.keys()], { batchSize: 8, lengthOf: (i) => items[i]!, ...options });
  const padded = (groups: number[][]) =>
    groups.reduce((sum, places) => sum + places.length * Math.max(...places.map((i) => lengths[i]!)), 0);
  const all = lengths.reduce((a, b) => a + b, 0);

  test("hold every item once, and little padding", () => {
    const groups = group({ shuffleSeed: 1 });
    expect(groups.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()]);
    expect(padded(groups)).toBeLessThan(1.08 * all);
    expect(padded(makeGroups([...lengths.keys()], { batchSize: 8, shuffleSeed: 1 }))).toBeGreaterThan(
      1.6 * all,
    );
  });

  test("begin with the longest item, and are others in each epoch", () => {
    const [first, second] = [group({ shuffleSeed: 1 }), group({ shuffleSeed: 1, epoch: 1 })];
    for (const groups of [first, second]) expect(lengths[groups[0]![0]!]).toBe(Math.max(...lengths));
    const sets = (groups: number[][]) => groups.map((places) => String([...places].sort((a, b) => a - b)));
    expect(new Set([...sets(first), ...sets(second)]).size).toBeGreaterThan(1.9 * first.length);
    expect(group({ shuffleSeed: 1 })).toEqual(first);
  });

  test("of fewer items than fill a few groups too", () => {
    for (let n = 1; n < 40; n++) {
      const groups = group({ shuffleSeed: n }, lengths.slice(0, n));
      expect(groups.flat().sort((a, b) => a - b)).toEqual([...new Array(n).keys()]);
      expect(groups).toHaveLength(Math.ceil(n / 8));
    }
  });
});

test("refuses nonsense", () => {
  expect(() => makeGroups(sequences, { batchSize: 0 })).toThrow(/batchSize/);
  expect(() => makeGroups([], { batchSize: 1 })).toThrow(/no items/);
});
