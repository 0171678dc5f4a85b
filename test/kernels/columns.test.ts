import { describe, expect, test } from "vitest";
import { sliceColumns, sliceColumnsBackward } from "../../src/kernels/columns.ts";
import { sliceColumnsReference } from "../reference/columns.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases: { rows: number; cols: number; range: [number, number] }[] = [
  { rows: 1, cols: 1, range: [0, 1] },
  { rows: 3, cols: 127, range: [1, 4] },
  { rows: 5, cols: 123, range: [100, 123] },
  { rows: 2, cols: 12, range: [2, 10] }, // a start inside a vector
  { rows: 9, cols: 64, range: [16, 48] },
];

describe.each(cases)("columns $range of $rows×$cols", ({ rows, cols, range }) => {
  const [start, end] = range;
  const x = randomValues(rows * cols, 1);
  const dy = randomValues(rows * (end - start), 2);

  test("slice", async () => {
    const device = await testDevice();
    const y = sliceColumns(floats(device, x, [1, rows, cols]), start, end);
    expect(y.shape).toEqual([1, rows, end - start]);
    expect(await y.read()).toBeClose(sliceColumnsReference(x, cols, range), 0);
  });

  test("backward", async () => {
    const device = await testDevice();
    const dY = floats(device, dy, [rows, end - start]);
    const dx = sliceColumnsBackward(dY, start, cols);
    const wanted = centralDifferences((v) => sliceColumnsReference(v, cols, range), x, dy);
    expect(await dx.read()).toBeClose(wanted);
    expect(await sliceColumnsBackward(dY, start, cols, dx).read()).toBeClose(wanted.map((g) => 2 * g));
  });
});

test("a range or a target that does not fit is refused", async () => {
  const device = await testDevice();
  const x = floats(device, [1, 2, 3, 4], [2, 2]);
  expect(() => sliceColumns(x, 1, 3)).toThrow("columns 1 to 3 of 2");
  expect(() => sliceColumns(x, 1, 1)).toThrow("columns 1 to 1 of 2");
  expect(() => sliceColumnsBackward(x, 0, 3, x)).toThrow("into is [2,2], expected 2 rows of 3");
});
