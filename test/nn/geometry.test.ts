import { expect, test } from "vitest";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { testDevice } from "../support/device.ts";

/** Documents of one row, by their first token and length. */
const inRow = (row: number, ...documents: [number, number][]) =>
  documents.map(([first, length]) => ({ row, first, length }));

async function place(
  ...args: Parameters<typeof placeTokens> extends [unknown, ...infer Rest] ? Rest : never
) {
  const { spans, positions, places, longest } = placeTokens(await testDevice(), ...args);
  const pairs = [...(await spans.readIntegers())];
  expect([...(await positions.readIntegers())]).toEqual([...places]);
  const rows = (values: readonly number[], width: number) =>
    Array.from({ length: args[0].batchSize }, (_, row) => values.slice(row * width, (row + 1) * width));
  const { length } = args[0];
  return { spans: rows(pairs, 2 * length), positions: rows([...places], length), longest };
}

test("packed rows: each token sees its document, padding sees nothing", async () => {
  const documents = [...inRow(0, [0, 2], [2, 3]), ...inRow(1, [1, 2]), ...inRow(2, [0, 3])];
  expect(await place({ batchSize: 4, length: 5, documents })).toEqual({
    spans: [
      [0, 2, 0, 2, 2, 5, 2, 5, 2, 5],
      [1, 1, 1, 3, 1, 3, 5, 3, 5, 3],
      [0, 3, 0, 3, 0, 3, 5, 3, 5, 3],
      [5, 0, 5, 0, 5, 0, 5, 0, 5, 0],
    ],
    positions: [
      [0, 1, 0, 1, 2],
      [0, 0, 1, 0, 0],
      [0, 1, 2, 0, 0],
      [0, 0, 0, 0, 0],
    ],
    longest: 3,
  });
});

test("rows go on with what a cache holds of them, each from its own end", async () => {
  const documents = [...inRow(0, [0, 2]), ...inRow(1, [0, 1]), ...inRow(3, [1, 1])];
  const cached = [
    { first: 0, end: 7 },
    { first: 3, end: 5 }, // begun with padding
    { first: 0, end: 4 }, // ended
    { first: 0, end: 0 }, // begins
  ];
  expect(await place({ batchSize: 4, length: 2, documents }, cached)).toEqual({
    spans: [
      [0, 9, 0, 9],
      [3, 6, 7, 6],
      [6, 4, 6, 4],
      [1, 1, 1, 2],
    ],
    positions: [
      [7, 8],
      [2, 0],
      [0, 0],
      [0, 0],
    ],
    longest: 9,
  });
});

test("whole rows are one document each", async () => {
  expect(await place(wholeRows(2, 2))).toMatchObject({ spans: Array(2).fill([0, 2, 0, 2]), longest: 2 });
});

test.each([
  [inRow(0, [0, 2], [3, 1]), /row 0: a document begins at 3, the one before ends at 2/],
  [inRow(0, [0, 2], [1, 2]), /row 0: a document begins at 1/],
  [inRow(0, [-1, 2]), /row 0: a document begins at -1/],
  [inRow(1, [3, 2]), /row 1: the documents end at 5 of 4/],
  [inRow(0, [0, 0]), /row 0: a document has no token/],
  [inRow(2, [0, 1]), /document 0 is in row 2 of 2/],
  [[...inRow(1, [0, 1]), ...inRow(0, [0, 1])], /document 1 is in row 0 of 2/],
])("%j is refused", async (documents, message) => {
  const device = await testDevice();
  expect(() => placeTokens(device, { batchSize: 2, length: 4, documents })).toThrow(message);
});

test.each([[inRow(0, [1, 1])], [inRow(0, [0, 1], [1, 1])]])(
  "%j can't go on with a cache",
  async (documents) => {
    const device = await testDevice();
    const cached = [{ first: 0, end: 3 }];
    expect(() => placeTokens(device, { batchSize: 1, length: 2, documents }, cached)).toThrow(
      /row 0: it goes on with what the cache holds/,
    );
  },
);
