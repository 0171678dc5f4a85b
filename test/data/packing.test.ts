import { describe, expect, test } from "vitest";
import { bestFit, packItems } from "../../src/data/pack-items.ts";
import type { PackingStrategy } from "../../src/data/packing.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

/** packing.json; see make_packing.py. A piece is [row, first token, number of tokens]. */
interface Golden {
  max_length: number;
  strategy: PackingStrategy;
  lengths: number[];
  packs: [number, number, number][][];
}

/** Some tokens of a row. */
interface Part {
  row: number;
  from: number;
  to: number;
}

const rowsOf = (lengths: readonly number[]): Part[] => lengths.map((to, row) => ({ row, from: 0, to }));
const packable = {
  lengthOf: ({ from, to }: Part) => to - from,
  slice: (part: Part, from: number, to: number): Part | undefined => ({
    row: part.row,
    from: part.from + from,
    to: part.from + to,
  }),
};

describe("the packs are TRL's", () => {
  const cases = readJsonFile<Golden[]>(fixturePath("."), "packing.json");
  test.each(cases)("$strategy, $lengths.length rows into $max_length", (golden) => {
    const { strategy, max_length: maxLength, lengths } = golden;
    const { packs, places, report } = packItems(rowsOf(lengths), packable, { strategy, maxLength });
    expect(packs.map((pack) => pack.map(({ row, from, to }) => [row, from, to - from]))).toEqual(
      golden.packs,
    );
    expect(places).toEqual(golden.packs.map((pack) => pack.map(([row]) => row)));
    const tokens = lengths.reduce((a, b) => a + b, 0);
    const fill = tokens / maxLength / packs.length;
    expect(report).toEqual({ rows: lengths.length, sequences: packs.length, maxLength, tokens, fill });
  });
});

test("every row is in one pack, and none is too full, whatever the lengths", () => {
  const random = createRandom(7);
  for (let n = 0; n < 60; n++) {
    const capacity = 1 + random.integer(70);
    const lengths = Array.from({ length: 1 + random.integer(90) }, () => 1 + random.integer(capacity));
    const bins = bestFit(lengths, capacity);
    expect(bins.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()]);
    for (const bin of bins) {
      expect(bin.reduce((sum, place) => sum + lengths[place]!, 0)).toBeLessThanOrEqual(capacity);
    }
  }
});

test("room for more tokens than there are is no long table", () => {
  expect(bestFit([3, 5], Number.MAX_SAFE_INTEGER)).toEqual([[1, 0]]);
});

test("a hundred thousand short rows are packed, and hardly any room is left", () => {
  const random = createRandom(3);
  const items = rowsOf(Array.from({ length: 100_000 }, () => 1 + random.integer(60)));
  const { report } = packItems(items, packable, { strategy: "bfd", maxLength: 1024 });
  expect(report.fill).toBeGreaterThan(0.999);
});

test("parts of which nothing is learnt are left out, and their room stays empty", () => {
  const learnt = {
    ...packable,
    slice: (part: Part, from: number, to: number) =>
      from === 0 ? undefined : packable.slice(part, from, to),
  };
  const pack = (strategy: PackingStrategy) =>
    packItems(rowsOf([3, 6, 2]), learnt, { strategy, maxLength: 4 }).packs;
  const [first, rest, last] = [
    { row: 0, from: 0, to: 3 },
    { row: 1, from: 1, to: 5 },
    { row: 1, from: 5, to: 6 },
  ];
  expect(pack("wrapped")).toEqual([[first], [rest], [last, { row: 2, from: 0, to: 2 }]]);
  expect(pack("bfd_split")).toEqual([
    [first],
    [
      { row: 1, from: 4, to: 6 },
      { row: 2, from: 0, to: 2 },
    ],
  ]);
});

test("rows that are too long are named, all of them", () => {
  const pack = () => packItems(rowsOf([9, 3, 12]), packable, { strategy: "bfd", maxLength: 8 });
  expect(pack).toThrow(/row 1 has 9 tokens, and maxLength is 8[\s\S]*row 3 has 12 tokens[\s\S]*bfd_split/);
});
