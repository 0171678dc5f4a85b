import { expect, test } from "vitest";
import { summariseLengths } from "../../../src/data/inspect/lengths.ts";

test("percentiles are lengths that occur", () => {
  const lengths = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(summariseLengths(lengths)).toMatchObject({ median: 50, p90: 90, p99: 99, longest: 100 });
  expect(summariseLengths([7])).toMatchObject({ median: 7, p90: 7, p99: 7, longest: 7 });
  expect(summariseLengths([])).toEqual({ median: 0, p90: 0, p99: 0, longest: 0, histogram: [] });
});

test.each([
  [[1, 2, 2, 30]],
  [[5]],
  [Array.from({ length: 1000 }, (_, i) => (i * i) % 997)],
  [[...new Array<number>(500).fill(12), 19_487]],
])("the histogram has each row once, in bars without gaps", (lengths) => {
  const { histogram } = summariseLengths(lengths);
  expect(histogram.length).toBeLessThan(20);
  expect(histogram.reduce((sum, { rows }) => sum + rows, 0)).toBe(lengths.length);
  for (const [i, { from, to = Number.POSITIVE_INFINITY, rows }] of histogram.entries()) {
    expect(rows).toBe(lengths.filter((length) => length >= from && length < to).length);
    expect(to).toBe(histogram[i + 1]?.from ?? to);
  }
});

test("one row that is far longer does not flatten the rest", () => {
  const { histogram } = summariseLengths([...Array.from({ length: 500 }, (_, i) => i % 40), 19_487]);
  expect(histogram.filter(({ rows }) => rows > 0).length).toBeGreaterThan(8);
  expect(histogram.at(-1)).toEqual({ from: expect.any(Number), rows: 1 });
});
