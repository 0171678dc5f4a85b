import { describe, expect, test } from "vitest";
import { gradientNorm, judgeStep } from "../../src/kernels/gradient-norm.ts";
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

describe("a step's outcome", () => {
  const sums = randomValues(1000, 1);

  async function judge(steps: readonly { loss: number; gradients?: ArrayLike<number>; maxNorm?: number }[]) {
    const device = await testDevice();
    const outcome = floats(device, [0, 1], [2]);
    const read: number[][] = [];
    for (const { loss, gradients = sums, maxNorm = 0 } of steps) {
      const given = {
        gradients: floats(device, gradients, [1000]),
        loss: floats(device, [loss], [1]),
        maxNorm,
      };
      judgeStep({ ...given, terms: 8 }, outcome);
      read.push([...(await outcome.read())]);
    }
    return read;
  }

  test.each([0, 1e-3, 1e6])(
    "is the norm of the mean's gradient and the sum's factor, clipped to %f",
    async (maxNorm) => {
      const [outcome] = await judge([{ loss: 1, maxNorm }]);
      const [norm, clip] = gradientNormReference(
        sums.map((sum) => sum / 8),
        maxNorm,
      );
      expect(outcome).toBeClose([norm, clip / 8]);
    },
  );

  test.each([
    ["a gradient", { loss: 1, gradients: sums.with(7, Number.NaN) }, Number.NaN],
    [
      "the loss",
      { loss: Number.NaN },
      gradientNormReference(
        sums.map((sum) => sum / 8),
        0,
      )[0],
    ],
  ])("where %s is no number has factor 0, and the steps behind it, too", async (_, bad, norm) => {
    const outcomes = await judge([{ loss: 1 }, bad, { loss: 1 }]);
    expect(outcomes.map(([, factor]) => factor)).toEqual([1 / 8, 0, 0]);
    expect(outcomes[1]?.[0]).toSatisfy(
      (got: number) => Object.is(got, norm) || Math.abs(got / norm - 1) < 1e-5,
    );
  });

  test("of no terms is refused", async () => {
    const device = await testDevice();
    const x = floats(device, [1], [1]);
    const step = { gradients: x, loss: x, terms: 0, maxNorm: 0 };
    expect(() => judgeStep(step, floats(device, [0, 1], [2]))).toThrow("the step has 0 terms");
  });
});
