import { expect, test } from "vitest";
import { createRandom } from "../../src/util/random.ts";

test("the stream is fixed for all time: seeds in old adapters must reproduce", () => {
  const random = createRandom(42);
  expect([random.bits(), random.bits(), random.bits()]).toMatchInlineSnapshot(`
    [
      2228780732,
      951588243,
      4164026155,
    ]
  `);
  expect([random.uniform(), random.normal(), random.normal()]).toMatchInlineSnapshot(`
    [
      0.5721094797350167,
      -1.0329447557082423,
      -1.4044555849383067,
    ]
  `);
});

test("equal seeds agree, different seeds and negative or large seeds differ", () => {
  const draw = (seed: number) => createRandom(seed).bits();
  expect(draw(7)).toBe(draw(7));
  expect(new Set([0, 1, 2, -1, 2 ** 32, 2 ** 33, 2 ** 40 + 1].map(draw)).size).toBe(7);
  expect(() => createRandom(0.5)).toThrow(RangeError);
});

test("a fork depends on its label and the seed, not on what was drawn before", () => {
  const fresh = createRandom(1).fork("dropout").bits();
  const used = createRandom(1);
  used.bits();
  expect(used.fork("dropout").bits()).toBe(fresh);
  expect(used.fork("init").bits()).not.toBe(fresh);
  expect(used.fork(1).bits()).not.toBe(used.fork(2).bits());
  expect(used.fork("a").fork("b").bits()).not.toBe(used.fork("b").fork("a").bits());
});

test("uniform and normal have the right moments", () => {
  const random = createRandom(3);
  const n = 200_000;
  const moments = (draw: () => number) => {
    let [sum, squares] = [0, 0];
    for (let i = 0; i < n; i++) {
      const x = draw();
      sum += x;
      squares += x * x;
    }
    return { mean: sum / n, variance: squares / n - (sum / n) ** 2 };
  };
  const uniform = moments(random.uniform);
  expect(uniform.mean).toBeCloseTo(0.5, 2);
  expect(uniform.variance).toBeCloseTo(1 / 12, 2);
  const normal = moments(random.normal);
  expect(normal.mean).toBeCloseTo(0, 1);
  expect(normal.variance).toBeCloseTo(1, 1);
  let within = 0;
  for (let i = 0; i < n; i++) if (Math.abs(random.normal()) < 1) within++;
  expect(within / n).toBeCloseTo(0.6827, 2);
});

test("integer is even over its range and refuses an empty one", () => {
  const random = createRandom(5);
  const counts = new Array<number>(6).fill(0);
  for (let i = 0; i < 60_000; i++) counts[random.integer(6)]!++;
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  expect(random.integer(1)).toBe(0);
  expect(() => random.integer(0)).toThrow(RangeError);
});

test("shuffle permutes in place", () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = createRandom(9).shuffle([...items]);
  expect(shuffled).not.toEqual(items);
  expect([...shuffled].sort((a, b) => a - b)).toEqual(items);
});
