import { describe, expect, test } from "vitest";
import { zeros } from "../../src/kernels/elementwise.ts";
import { swapAxes } from "../../src/kernels/swap-axes.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { swapAxesReference } from "../reference/swap-axes.ts";
import { floats, testDevice } from "../support/device.ts";

describe.each([
  [1, 1, 1, 1],
  [3, 2, 5, 1],
  [1, 127, 3, 1],
  [5, 7, 3, 41],
  [4, 6, 10, 8],
  [2, 70, 64, 4],
])("%i × %i × %i × %i", (n, rows, cols, unit) => {
  const axes = { rows, cols, unit };
  const size = n * rows * cols * unit;
  const x = randomValues(size, 1);

  test("the axes are exchanged, and back", async () => {
    const device = await testDevice();
    const y = swapAxes(floats(device, x, [n, rows * cols * unit]), axes);
    const wanted = swapAxesReference(x, axes);
    expect(await y.read()).toBeClose(wanted);
    expect(await swapAxes(y, { rows: cols, cols: rows, unit }).read()).toBeClose(x);
    const twice = swapAxes(floats(device, x, [size]), axes, y);
    expect(await twice.read()).toBeClose(wanted.map((value) => 2 * value));
  });

  test("its gradient", async () => {
    if (size > 1000) return; // the forward of every element would be computed for each
    const device = await testDevice();
    const dy = randomValues(size, 2);
    const wanted = centralDifferences((v) => swapAxesReference(v, axes), x, dy);
    const dx = swapAxes(floats(device, dy, [size]), { rows: cols, cols: rows, unit });
    expect(await dx.read()).toBeClose(wanted);
  });
});

test("a wrong size is named", async () => {
  const device = await testDevice();
  const x = zeros(device, [2, 6]);
  expect(() => swapAxes(x, { rows: 5, cols: 1 })).toThrow("[2,6] does not consist of blocks of 5×1×1");
  expect(() => swapAxes(x, { rows: 2, cols: 3 }, zeros(device, [6]))).toThrow("differ in size");
});
