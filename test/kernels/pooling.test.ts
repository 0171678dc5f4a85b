import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { maxPool, maxPoolBackward, meanPool, meanPoolBackward } from "../../src/kernels/pooling.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { maxPoolReference, meanPoolReference } from "../reference/pooling.ts";
import { floats, testDevice } from "../support/device.ts";

type Shape = readonly [number, number, number];
const cases: { shape: Shape; lengths?: number[] }[] = [
  { shape: [1, 1, 1] },
  { shape: [2, 3, 127] },
  { shape: [3, 5, 123], lengths: [5, 1, 3] },
  { shape: [2, 9, 16], lengths: [4, 9] },
];

describe.each(cases)("pooling $shape lengths $lengths", ({ shape, lengths }) => {
  const [batch, tokens, cols] = shape;
  const x = randomValues(batch * tokens * cols, 1);
  const dy = randomValues(batch * cols, 2);
  const valid = async () =>
    lengths && fromArray(await testDevice(), Uint32Array.from(lengths), [lengths.length]);

  const spoiled = x.map((value, i) => {
    const row = Math.floor(i / cols);
    return row % tokens < (lengths?.[Math.floor(row / tokens)] ?? tokens) ? value : Number.NaN;
  });

  describe.each(["mean", "mean_sqrt_len_tokens", "weightedmean"] as const)("%s", (kind) => {
    test("forward does not read the padding", async () => {
      const y = meanPool(floats(await testDevice(), spoiled, shape), { kind, lengths: await valid() });
      expect(await y.read()).toBeClose(meanPoolReference(x, shape, lengths, kind));
    });

    test("backward", async () => {
      const dY = floats(await testDevice(), dy, [batch, cols]);
      const wanted = centralDifferences((v) => meanPoolReference(v, shape, lengths, kind), x, dy);
      const options = { kind, lengths: await valid() };
      const dx = meanPoolBackward(dY, shape, options);
      expect(await dx.read()).toBeClose(wanted);
      const twice = meanPoolBackward(dY, shape, options, dx);
      expect(await twice.read()).toBeClose(wanted.map((g) => 2 * g));
    });
  });

  test("max, forward and backward", async () => {
    const device = await testDevice();
    const X = floats(device, spoiled, shape);
    expect(await maxPool(X, await valid()).read()).toBeClose(maxPoolReference(x, shape, lengths));
    const dY = floats(device, dy, [batch, cols]);
    const wanted = centralDifferences((v) => maxPoolReference(v, shape, lengths), x, dy);
    const dx = maxPoolBackward(dY, X, await valid());
    expect(await dx.read()).toBeClose(wanted);
    const twice = maxPoolBackward(dY, X, await valid(), dx);
    expect(await twice.read()).toBeClose(wanted.map((g) => 2 * g));
  });
});

test("of equal maxima the first token gets the gradient", async () => {
  const device = await testDevice();
  const x = floats(device, [1, 3, 3, 2], [1, 4, 1]);
  expect([...(await maxPoolBackward(floats(device, [5], [1, 1]), x).read())]).toEqual([0, 5, 0, 0]);
});

test("lengths of another batch are refused", async () => {
  const device = await testDevice();
  const lengths = fromArray(device, Uint32Array.of(1), [1]);
  expect(() => meanPool(floats(device, [1, 2], [2, 1, 1]), { lengths })).toThrow(/expected u32 \[2\]/);
});
