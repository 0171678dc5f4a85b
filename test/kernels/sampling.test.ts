import { describe, expect, test } from "vitest";
import { argmax } from "../../src/kernels/sampling.ts";
import { randomValues } from "../reference/gradient.ts";
import { argmaxReference } from "../reference/sampling.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { rows: 1, cols: 1 },
  { rows: 2, cols: 3 },
  { rows: 1, cols: 127 },
  { rows: 5, cols: 123 },
  { rows: 3, cols: 5000 },
  { rows: 3, cols: 300, scale: 1e30 },
];

describe.each(cases)("argmax $rows×$cols scale $scale", ({ rows, cols, scale = 1 }) => {
  test("finds the largest", async () => {
    const device = await testDevice();
    const x = randomValues(rows * cols, 1, scale);
    expect([...(await argmax(floats(device, x, [rows, cols])).readIntegers())]).toEqual(
      argmaxReference(x, cols),
    );
  });

  test("takes the first of equals", async () => {
    const device = await testDevice();
    const x = randomValues(rows * cols, 2, scale).map((v) => Math.sign(v)); // long runs of ties
    expect([...(await argmax(floats(device, x, [rows, cols])).readIntegers())]).toEqual(
      argmaxReference(x, cols),
    );
  });
});

test("masked logits of -infinity lose", async () => {
  const device = await testDevice();
  const x = new Float32Array(400).fill(Number.NEGATIVE_INFINITY);
  x[399] = -1e30;
  expect([...(await argmax(floats(device, x, [1, 400])).readIntegers())]).toEqual([399]);
});
