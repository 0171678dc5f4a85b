import { expect, test } from "vitest";
import { zeros } from "../../src/kernels/elementwise.ts";
import { addNoise } from "../../src/kernels/noise.ts";
import { randomValues } from "../reference/gradient.ts";
import { noiseReference } from "../reference/noise.ts";
import { floats, testDevice } from "../support/device.ts";

test.each([1, 3, 127, 5 * 123, 512])("noise on %i elements", async (size) => {
  const device = await testDevice();
  const x = randomValues(size, 1);
  for (const options of [
    { magnitude: 0.3, seed: 0xdeadbeef },
    { magnitude: 1e6, seed: 7 },
    { magnitude: 0, seed: 1 },
  ])
    expect(await addNoise(floats(device, x, [size]), options).read()).toBeClose(noiseReference(x, options));
});

test("it is uniform, and other for another seed", async () => {
  const device = await testDevice();
  const size = 100_000;
  const [first, second] = [
    await addNoise(zeros(device, [size]), { magnitude: 2, seed: 41 }).read(),
    await addNoise(zeros(device, [size]), { magnitude: 2, seed: 42 }).read(),
  ];
  const mean = (f: (i: number) => number) => first.reduce((sum, _, i) => sum + f(i), 0) / size;
  const sigma = 2 / Math.sqrt(3 * size);
  expect(Math.abs(mean((i) => first[i] as number))).toBeLessThan(4 * sigma);
  expect(mean((i) => (first[i] as number) ** 2)).toBeCloseTo(4 / 3, 1);
  expect(Math.abs(mean((i) => (first[i] as number) * (second[i] as number)))).toBeLessThan(0.02);
  expect(Math.max(...first.subarray(0, 5000).map(Math.abs))).toBeLessThanOrEqual(2);
});

test("a magnitude that is none is refused", async () => {
  const device = await testDevice();
  expect(() => addNoise(zeros(device, [4]), { magnitude: Number.NaN, seed: 0 })).toThrow("at least 0");
});
