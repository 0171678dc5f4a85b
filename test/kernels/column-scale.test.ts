import { describe, expect, test } from "vitest";
import { columnScale, columnScaleBackward, rowScale } from "../../src/kernels/column-scale.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { columnScaleReference } from "../reference/column-scale.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

describe.each([
  [1, 1],
  [3, 3],
  [1, 127],
  [5, 123],
  [70, 64],
])("%i × %i", (rows, cols) => {
  const shape = [rows, cols];
  const x = randomValues(rows * cols, 1);
  const dy = randomValues(rows * cols, 2);
  const scale = randomValues(cols, 3);

  test("every column has its factor", async () => {
    const device = await testDevice();
    const [X, S] = [floats(device, x, shape), floats(device, scale, [cols, 1])];
    const y = columnScale(X, S);
    const wanted = columnScaleReference(x, scale);
    expect(y.shape).toEqual(shape);
    expect(await y.read()).toBeClose(wanted);
    expect(await columnScale(X, S, { into: y }).read()).toBeClose(wanted.map((value) => 2 * value));
  });

  test("every row has its factor", async () => {
    const device = await testDevice();
    const factors = randomValues(rows, 4);
    const y = rowScale(floats(device, x, shape), floats(device, factors, [rows]));
    expect(await y.read()).toBeClose(x.map((value, i) => value * factors[Math.floor(i / cols)]!));
  });

  test("gradients of x and of the factors, beside which others stay", async () => {
    const device = await testDevice();
    const other = randomValues(cols, 4);
    const forward = (x: ArrayLike<number>, scale: ArrayLike<number>) =>
      columnScaleReference(
        x,
        other.map((value, i) => value * scale[i]!),
      );
    const [X, S, DY] = [floats(device, x, shape), floats(device, scale, [cols]), floats(device, dy, shape)];
    const fixed = floats(device, other, [cols]);
    expect(await columnScale(X, S, { fixed }).read()).toBeClose(forward(x, scale));
    const wantedX = centralDifferences((v) => forward(v, scale), x, dy);
    expect(await columnScale(DY, S, { fixed }).read()).toBeClose(wantedX);
    const { dx, dscale } = columnScaleBackward(DY, { x: X, scale: S, fixed });
    expect(await dx.read()).toBeClose(wantedX);
    const wanted = centralDifferences((v) => forward(x, v), scale, dy);
    expect(await dscale.read()).toBeClose(wanted);
    columnScaleBackward(DY, { x: X, scale: S, fixed }, dscale);
    expect(await dscale.read()).toBeClose(wanted.map((value) => 2 * value));
  });
});

test("a wrong size is named", async () => {
  const device = await testDevice();
  const x = zeros(device, [2, 3]);
  expect(() => columnScale(x, zeros(device, [2]))).toThrow("expected 3 (last axis of [2,3])");
  expect(() => columnScale(x, zeros(device, [3]), { into: zeros(device, [3, 3]) })).toThrow("differ in size");
  expect(() => rowScale(x, zeros(device, [3]))).toThrow("expected 2 (rows of [2,3])");
  const two = { x: zeros(device, [3, 2]), scale: zeros(device, [2]) };
  expect(() => columnScaleBackward(x, two)).toThrow("dy [2,3] and x [3,2] differ");
  expect(() => columnScaleBackward(x, { x, scale: two.scale })).toThrow("the scale has 2 elements");
});
