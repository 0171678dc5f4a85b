import { describe, expect, test } from "vitest";
import { gradientNorm } from "../../src/kernels/gradient-norm.ts";
import { randomValues } from "../reference/gradient.ts";
import { gradientNormReference } from "../reference/gradient-norm.ts";
import { floats, testDevice } from "../support/device.ts";

const sizes = [1, 3, 127, 5 * 123, 300_000];

describe.each(sizes)("gradient_norm of %i", (size) => {
  test.each([0, 1e-3, 1e6])("clipped to %f", async (maxNorm) => {
    const device = await testDevice();
    const gradients = randomValues(size, 1);
    const [norm, clip] = await gradientNorm(floats(device, gradients, [size]), maxNorm).read();
    const [wantedNorm, wantedClip] = gradientNormReference(gradients, maxNorm);
    expect([norm]).toBeClose([wantedNorm]);
    expect([clip]).toBeClose([wantedClip]);
  });
});

test("large magnitudes", async () => {
  const device = await testDevice();
  const gradients = randomValues(500, 1, 1e15);
  const got = await gradientNorm(floats(device, gradients, [500]), 1).read();
  const [norm, clip] = gradientNormReference(gradients, 1);
  expect([got[0]! / norm, got[1]! / clip]).toBeClose([1, 1]);
});

test.each([
  ["NaN", Number.NaN],
  ["infinity", Number.POSITIVE_INFINITY],
  ["-infinity", Number.NEGATIVE_INFINITY],
  ["a square that overflows", 1e30],
])("%s gives clip 0", async (_, value) => {
  const device = await testDevice();
  const gradients = randomValues(2000, 1);
  gradients[1234] = value;
  for (const maxNorm of [0, 1]) {
    expect(await gradientNorm(floats(device, gradients, [2000]), maxNorm).read()).toEqual(
      Float32Array.of(Number.NaN, 0),
    );
  }
});
