import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { gatherRows, scatterRows } from "../../src/kernels/rows.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { gatherRowsReference } from "../reference/rows.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { rows: 1, cols: 1, index: [0] },
  { rows: 4, cols: 3, index: [3, 1] },
  { rows: 3, cols: 127, index: [2] },
  { rows: 5, cols: 123, index: [0, 2, 3, 4] },
  { rows: 9, cols: 64, index: [8, 0, 5] },
];

describe.each(cases)("rows $index of $rows×$cols", ({ rows, cols, index }) => {
  const x = randomValues(rows * cols, 1);
  const dy = randomValues(index.length * cols, 2);

  test("gather", async () => {
    const device = await testDevice();
    const y = gatherRows(
      floats(device, x, [rows, cols]),
      fromArray(device, Uint32Array.from(index), [index.length]),
    );
    expect(y.shape).toEqual([index.length, cols]);
    expect(await y.read()).toBeClose(gatherRowsReference(x, index, cols), 0);
  });

  test("scatter", async () => {
    const device = await testDevice();
    const at = fromArray(device, Int32Array.from(index), [index.length]);
    const dY = floats(device, dy, [index.length, cols]);
    const dx = scatterRows(dY, at, rows);
    const wanted = centralDifferences((v) => gatherRowsReference(v, index, cols), x, dy);
    expect(await dx.read()).toBeClose(wanted);
    expect(await scatterRows(dY, at, rows, dx).read()).toBeClose(wanted.map((g) => 2 * g));
  });
});

test("an index that does not fit is refused", async () => {
  const device = await testDevice();
  const dY = floats(device, [1, 2], [2, 1]);
  expect(() => scatterRows(dY, fromArray(device, Uint32Array.of(0), [1]), 3)).toThrow("1 indices for 2 rows");
  expect(() => gatherRows(dY, dY)).toThrow("expected u32");
});
