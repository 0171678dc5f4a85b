import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { segmentSpread, segmentSums } from "../../src/kernels/segments.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { type Range, segmentSumsReference } from "../reference/segments.ts";
import { floats, testDevice } from "../support/device.ts";

const cases: { count: number; ranges: Range[]; cut: number }[] = [
  { count: 1, ranges: [[0, 1]], cut: 1 },
  {
    count: 3,
    ranges: [
      [0, 3],
      [1, 1],
      [2, 3],
    ],
    cut: 2,
  },
  {
    count: 5 * 123, // two windows, of which one has all of a range, part of others, or nothing
    ranges: [
      [0, 127],
      [127, 400],
      [100, 615],
      [400, 615],
    ],
    cut: 320,
  },
];

describe.each(cases)("segments of $count values in windows of $cut", ({ count, ranges, cut }) => {
  const values = randomValues(count, 1);
  const factors = randomValues(ranges.length, 2);
  const dy = randomValues(ranges.length, 3);
  const windows = [
    { start: 0, end: cut },
    { start: cut, end: count },
  ].filter(({ start, end }) => start < end);

  const upload = async () => {
    const device = await testDevice();
    return {
      device,
      segments: {
        ranges: fromArray(device, Uint32Array.from(ranges.flat()), [ranges.length, 2]),
        factors: floats(device, factors, [ranges.length]),
      },
    };
  };

  test("sums", async () => {
    const { device, segments } = await upload();
    let sums: ReturnType<typeof segmentSums> | undefined;
    for (const { start, end } of windows) {
      const part = floats(device, values.slice(start, end), [end - start]);
      sums = segmentSums({ values: part, start }, segments, sums);
    }
    expect(await sums?.read()).toBeClose(segmentSumsReference(values, ranges, factors));
  });

  test("spread", async () => {
    const { device, segments } = await upload();
    const dY = floats(device, dy, [ranges.length]);
    const wanted = centralDifferences((x) => segmentSumsReference(x, ranges, factors), values, dy);
    for (const { start, end } of windows) {
      const dx = segmentSpread(dY, { start, count: end - start }, segments);
      expect(await dx.read()).toBeClose(wanted.slice(start, end));
      const twice = segmentSpread(dY, { start, count: end - start }, segments, dx);
      expect(await twice.read()).toBeClose(wanted.slice(start, end).map((g) => 2 * g));
    }
  });
});

test("ranges that do not go with the factors are refused", async () => {
  const device = await testDevice();
  const segments = {
    ranges: fromArray(device, Uint32Array.of(0, 1), [1, 2]),
    factors: floats(device, [1, 1], [2]),
  };
  expect(() => segmentSums({ values: floats(device, [1], [1]), start: 0 }, segments)).toThrow(
    "expected [2, 2] u32",
  );
});
