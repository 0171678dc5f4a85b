import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { meanPool, meanPoolBackward } from "../../src/kernels/pooling.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { meanPoolReference } from "../reference/pooling.ts";
import { floats, testDevice } from "../support/device.ts";

type Shape = readonly [number, number, number];
const cases: { shape: Shape; lengths?: number[] }[] = [
  { shape: [1, 1, 1] },
  { shape: [2, 3, 127] },
  { shape: [3, 5, 123], lengths: [5, 1, 3] },
  { shape: [2, 9, 16], lengths: [4, 9] },
];

describe.each(cases)("mean pooling $shape lengths $lengths", ({ shape, lengths }) => {
  const [batch, tokens, cols] = shape;
  const x = randomValues(batch * tokens * cols, 1);
  const dy = randomValues(batch * cols, 2);
  const valid = async () =>
    lengths && fromArray(await testDevice(), Uint32Array.from(lengths), [lengths.length]);

  test("forward does not read the padding", async () => {
    const end = (b: number) => lengths?.[b] ?? tokens;
    const spoiled = x.map((value, i) => {
      const row = Math.floor(i / cols);
      return row % tokens < end(Math.floor(row / tokens)) ? value : Number.NaN;
    });
    const y = meanPool(floats(await testDevice(), spoiled, shape), await valid());
    expect(await y.read()).toBeClose(meanPoolReference(x, shape, lengths));
  });

  test("backward", async () => {
    const dY = floats(await testDevice(), dy, [batch, cols]);
    const wanted = centralDifferences((v) => meanPoolReference(v, shape, lengths), x, dy);
    const dx = meanPoolBackward(dY, shape, await valid());
    expect(await dx.read()).toBeClose(wanted);
    const twice = meanPoolBackward(dY, shape, await valid(), dx);
    expect(await twice.read()).toBeClose(wanted.map((g) => 2 * g));
  });
});

test("lengths of another batch are refused", async () => {
  const device = await testDevice();
  const lengths = fromArray(device, Uint32Array.of(1), [1]);
  expect(() => meanPool(floats(device, [1, 2], [2, 1, 1]), lengths)).toThrow(/expected u32 \[2\]/);
});
