import { describe, expect, test } from "vitest";
import { patches, patchesBackward } from "../../src/kernels/patches.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { patchesReference } from "../reference/patches.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { shape: [1, 1, 1, 1] as const, patch: 1 },
  { shape: [2, 3, 6, 9] as const, patch: 3 },
  { shape: [1, 3, 8, 8] as const, patch: 4 },
  { shape: [1, 1, 5, 123] as const, patch: 1 },
];

describe.each(cases)("patches $shape of $patch", ({ shape, patch }) => {
  const x = randomValues(shape[0] * shape[1] * shape[2] * shape[3], 1);
  const dy = randomValues(x.length, 2);

  test("forward", async () => {
    const y = patches(floats(await testDevice(), x, shape), patch);
    expect(y.shape).toEqual([shape[0], (shape[2] * shape[3]) / patch ** 2, shape[1] * patch ** 2]);
    expect(await y.read()).toBeClose(patchesReference(x, shape, patch), 0);
  });

  test("backward", async () => {
    const device = await testDevice();
    const dY = floats(device, dy, [1, x.length, 1]);
    const wanted = centralDifferences((v) => patchesReference(v, shape, patch), x, dy);
    const dx = patchesBackward(dY, shape, patch);
    expect(await dx.read()).toBeClose(wanted, 1e-6);
    expect(await patchesBackward(dY, shape, patch, dx).read()).toBeClose(
      wanted.map((g) => 2 * g),
      1e-6,
    );
  });
});

test("an image that holds no whole number of patches is refused", async () => {
  const x = floats(await testDevice(), [1, 2, 3, 4], [1, 1, 2, 2]);
  expect(() => patches(x, 3)).toThrow(/\[1,1,2,2\] cannot be cut into patches of 3/);
});
