import { describe, expect, test } from "vitest";
import { dropout } from "../../src/kernels/dropout.ts";
import { fill, zeros } from "../../src/kernels/elementwise.ts";
import { dropoutReference } from "../reference/dropout.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

describe.each([1, 3, 127, 5 * 123, 512])("dropout of %i", (size) => {
  const x = randomValues(size, 1);
  const dy = randomValues(size, 2);

  test.each([0, 0.1, 0.5])("p = %f", async (p) => {
    const device = await testDevice();
    const options = { p, seed: 0xdeadbeef };
    expect(await dropout(floats(device, x, [size]), options).read()).toBeClose(dropoutReference(x, options));
  });

  test("backward uses the same mask", async () => {
    const device = await testDevice();
    const options = { p: 0.3, seed: 7 };
    const dY = floats(device, dy, [size]);
    const dx = dropout(dY, options);
    const wanted = centralDifferences((v) => dropoutReference(v, options), x, dy);
    expect(await dx.read()).toBeClose(wanted, 1e-4);
    expect(await dropout(dY, options, dx).read()).toBeClose(
      wanted.map((g) => 2 * g),
      1e-4,
    );
  });
});

test("p = 0 is the identity", async () => {
  const device = await testDevice();
  const x = Float32Array.from(randomValues(100, 1));
  expect(await dropout(floats(device, x, [100]), { p: 0, seed: 1 }).read()).toEqual(x);
});

/** 1 for each element that the seed keeps. */
async function mask(size: number, p: number, seed: number): Promise<Float32Array> {
  const device = await testDevice();
  const y = await dropout(fill(zeros(device, [size]), 1), { p, seed }).read();
  return y.map((value) => (value > 0 ? 1 : 0));
}

const mean = (values: Float32Array) => values.reduce((a, b) => a + b, 0) / values.length;

test.each([0.05, 0.5, 0.9])("the keep rate at p = %f is within 4 sigma", async (p) => {
  const size = 100_000;
  const sigma = Math.sqrt((p * (1 - p)) / size);
  for (const seed of [0, 1, 2 ** 31]) {
    expect(Math.abs(mean(await mask(size, p, seed)) - (1 - p))).toBeLessThan(4 * sigma);
  }
});

test("equal seeds agree, neighbouring seeds and elements are independent", async () => {
  const size = 100_000;
  const first = await mask(size, 0.5, 41);
  expect(await mask(size, 0.5, 41)).toEqual(first);
  const second = await mask(size, 0.5, 42);
  const limit = 4 * Math.sqrt(0.25 / size);
  const agreement = (other: (i: number) => number) =>
    mean(first.map((keep, i) => (keep === other(i) ? 1 : 0)));
  expect(Math.abs(agreement((i) => second[i]!) - 0.5)).toBeLessThan(limit);
  for (const shift of [1, 2, 4, 64, 256]) {
    expect(Math.abs(agreement((i) => first[(i + shift) % size]!) - 0.5)).toBeLessThan(limit);
  }
});

test("p = 1 is refused", async () => {
  const device = await testDevice();
  expect(() => dropout(zeros(device, [4]), { p: 1, seed: 0 })).toThrow("expected 0 ≤ p < 1");
});
