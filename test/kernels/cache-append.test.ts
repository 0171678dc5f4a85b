import { expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { appendToCache } from "../../src/kernels/cache-append.ts";
import { cacheAppendReference } from "../reference/cache-append.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { ends: [0], length: 1, capacity: 1, heads: 1, headDim: 1 },
  { ends: [3, 0, 5], length: 1, capacity: 6, heads: 3, headDim: 64 },
  { ends: [2, 9], length: 4, capacity: 11, heads: 5, headDim: 41 }, // the second row's last tokens do not fit
  { ends: [0, 1], length: 127, capacity: 200, heads: 2, headDim: 8 },
];

test.each(cases)(
  "appendToCache: $length tokens behind $ends of $capacity",
  async ({ ends, length, capacity, heads, headDim }) => {
    const device = await testDevice();
    const width = heads * headDim;
    const [batch, places] = [ends.length, { ends, length, capacity, width }];
    const values = (seed: number, tokens: number) => randomValues(batch * tokens * width, seed);
    const held = [values(1, capacity), values(2, capacity)] as const;
    const own = [values(3, length), values(4, length)] as const;
    const [keys, kept] = held.map((x) => floats(device, x, [batch, capacity, heads, headDim]));
    const [k, v] = own.map((x) => floats(device, x, [batch, length, heads, headDim]));
    const spans = ends.flatMap((end) => Array.from({ length }, () => [0, end + length]).flat());
    appendToCache(
      { k: k!, v: v! },
      { k: keys!, v: kept! },
      fromArray(device, Uint32Array.from(spans), [batch, length, 2]),
    );
    for (const [i, tensor] of [keys!, kept!].entries())
      expect(await tensor.read()).toEqual(Float32Array.from(cacheAppendReference(held[i]!, own[i]!, places)));
  },
);

test("appendToCache refuses tokens of other heads", async () => {
  const device = await testDevice();
  const of = (...shape: number[]) => floats(device, new Float32Array(shape.reduce((a, b) => a * b)), shape);
  const spans = fromArray(device, new Uint32Array(2), [1, 1, 2]);
  const [own, cache] = [of(1, 1, 2, 4), of(1, 3, 1, 8)];
  expect(() => appendToCache({ k: own, v: own }, { k: cache, v: cache }, spans)).toThrow(
    "k [1,1,2,4], v [1,1,2,4] and spans [1,1,2] for [1,3,1,8]",
  );
});
