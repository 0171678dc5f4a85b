import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
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

test.each([
  ["NaN", Number.NaN],
  ["infinity", Number.POSITIVE_INFINITY],
])("a row with %s has no largest, wherever it stands", async (_, broken) => {
  const device = await testDevice();
  const cols = 600;
  const places = [0, 1, 299, 599];
  const x = randomValues((places.length + 1) * cols, 3);
  for (const [row, at] of places.entries()) x[row * cols + at] = broken;
  const got = await argmax(floats(device, x, [places.length + 1, cols])).readIntegers();
  expect([...got]).toEqual(argmaxReference(x, cols));
  expect([...got].slice(0, -1)).toEqual([-1, -1, -1, -1]);
});

test("a NaN with a sign is found, −0 equals 0, and the smallest numbers differ", async () => {
  const device = await testDevice();
  const bits = (...words: number[]) => new Float32Array(Uint32Array.from(words).buffer);
  const x = new Float32Array(12);
  x.set(bits(0xffc00001, 0x3f800000, 0), 0);
  x.set(bits(0x80000000, 0, 0xbf800000), 3);
  x.set(bits(0, 1, 2), 6);
  x.set(bits(0xff800000, 0xff800000, 0xff800000), 9);
  const got = await argmax(fromArray(device, x, [4, 3])).readIntegers();
  expect([...got]).toEqual([-1, 0, 2, -1]);
});

test("masked logits of -infinity lose", async () => {
  const device = await testDevice();
  const x = new Float32Array(400).fill(Number.NEGATIVE_INFINITY);
  x[399] = -1e30;
  expect([...(await argmax(floats(device, x, [1, 400])).readIntegers())]).toEqual([399]);
});
