import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { maxPool, maxPoolBackward, meanPool, meanPoolBackward } from "../../src/kernels/pooling.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { maxPoolReference, meanPoolReference, type Range } from "../reference/pooling.ts";
import { floats, testDevice } from "../support/device.ts";

type Shape = readonly [number, number, number];
const cases: { shape: Shape; documents: Range[] }[] = [
  { shape: [1, 1, 1], documents: [[0, 1]] },
  {
    shape: [2, 3, 127],
    documents: [
      [0, 3],
      [3, 3],
    ],
  },
  {
    shape: [3, 5, 123], // padded on the right
    documents: [
      [0, 5],
      [5, 1],
      [10, 3],
    ],
  },
  {
    shape: [2, 9, 16], // padded on the left, and packed
    documents: [
      [3, 6],
      [9, 2],
      [11, 1],
      [12, 4],
    ],
  },
];

async function upload(documents: readonly Range[]) {
  return fromArray(await testDevice(), Uint32Array.from(documents.flat()), [documents.length, 2]);
}

describe.each(cases)("pooling $shape documents $documents", ({ shape, documents }) => {
  const [batch, tokens, cols] = shape;
  const x = randomValues(batch * tokens * cols, 1);
  const dy = randomValues(documents.length * cols, 2);

  const spoiled = x.map((value, i) => {
    const token = Math.floor(i / cols);
    return documents.some(([first, count]) => first <= token && token < first + count) ? value : Number.NaN;
  });

  describe.each(["mean", "mean_sqrt_len_tokens", "weightedmean"] as const)("%s", (kind) => {
    test("forward does not read the padding", async () => {
      const y = meanPool(floats(await testDevice(), spoiled, shape), await upload(documents), kind);
      expect(await y.read()).toBeClose(meanPoolReference(x, cols, documents, kind));
    });

    test("backward", async () => {
      const dY = floats(await testDevice(), dy, [documents.length, cols]);
      const wanted = centralDifferences((v) => meanPoolReference(v, cols, documents, kind), x, dy);
      const ranges = await upload(documents);
      const dx = meanPoolBackward(dY, shape, ranges, kind);
      expect(await dx.read()).toBeClose(wanted);
      const twice = meanPoolBackward(dY, shape, ranges, kind, dx);
      expect(await twice.read()).toBeClose(wanted.map((g) => 2 * g));
    });
  });

  test("max, forward and backward", async () => {
    const device = await testDevice();
    const ranges = await upload(documents);
    const X = floats(device, spoiled, shape);
    expect(await maxPool(X, ranges).read()).toBeClose(maxPoolReference(x, cols, documents));
    const dY = floats(device, dy, [documents.length, cols]);
    const wanted = centralDifferences((v) => maxPoolReference(v, cols, documents), x, dy);
    const dx = maxPoolBackward(dY, X, ranges);
    expect(await dx.read()).toBeClose(wanted);
    const twice = maxPoolBackward(dY, X, ranges, dx);
    expect(await twice.read()).toBeClose(wanted.map((g) => 2 * g));
  });
});

test("of equal maxima the first token gets the gradient", async () => {
  const device = await testDevice();
  const x = floats(device, [1, 3, 3, 2], [1, 4, 1]);
  const dx = maxPoolBackward(floats(device, [5], [1, 1]), x, await upload([[0, 4]]));
  expect([...(await dx.read())]).toEqual([0, 5, 0, 0]);
});

test("documents of another form are refused", async () => {
  const device = await testDevice();
  const documents = fromArray(device, Uint32Array.of(1), [1]);
  expect(() => meanPool(floats(device, [1, 2], [2, 1, 1]), documents)).toThrow(/expected u32 \[N, 2\]/);
});
