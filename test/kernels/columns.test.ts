import { describe, expect, test } from "vitest";
import { columns, columnsBackward } from "../../src/kernels/columns.ts";
import { columnsReference } from "../reference/columns.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { rows: 1, cols: 1, start: 0, end: 1 },
  { rows: 3, cols: 3, start: 1, end: 2 },
  { rows: 5, cols: 123, start: 41, end: 82 },
  { rows: 2, cols: 127, start: 0, end: 127 },
  { rows: 4, cols: 24, start: 8, end: 16 },
];

describe.each(cases)("columns $rows×$cols [$start, $end)", ({ rows, cols, ...range }) => {
  const x = randomValues(rows * cols, 1);
  const dy = randomValues(rows * (range.end - range.start), 2);

  test("forward", async () => {
    const y = columns(floats(await testDevice(), x, [rows, cols]), range);
    expect(y.shape).toEqual([rows, range.end - range.start]);
    expect(await y.read()).toBeClose(columnsReference(x, cols, range), 0);
  });

  test("backward, alone and added to a gradient", async () => {
    const device = await testDevice();
    const dY = floats(device, dy, [rows, range.end - range.start]);
    const wanted = centralDifferences((v) => columnsReference(v, cols, range), x, dy);
    const dx = columnsBackward(dY, range, [rows, cols]);
    expect(await dx.read()).toBeClose(wanted, 1e-6);
    const sum = columnsBackward(dY, range, [rows, cols], floats(device, x, [rows, cols]));
    expect(await sum.read()).toBeClose(
      wanted.map((g, i) => g + x[i]!),
      1e-6,
    );
  });
});

test("columns outside of the tensor are refused", async () => {
  const x = floats(await testDevice(), [1, 2, 3], [1, 3]);
  expect(() => columns(x, { start: 2, end: 4 })).toThrow(/\[2, 4\) is outside the last axis of \[1,3\]/);
});
