import { expect, test } from "vitest";
import { WordMap } from "../../src/gpu/word-map.ts";

const words = (...values: number[]) => Uint32Array.from(values);

test("keys are compared by content and length", () => {
  const map = new WordMap<string>();
  const key = words(1, 2, 3);
  map.add(key, 3, "three");
  map.add(key, 2, "two");
  key[0] = 9; // the map keeps its own copy
  expect(map.get(words(1, 2, 3))).toBe("three");
  expect(map.get(words(1, 2, 3), 2)).toBe("two");
  expect(map.get(words(9, 2, 3))).toBeUndefined();
  expect(map.get(words())).toBeUndefined();
  expect(map.size).toBe(2);
});

test("many keys, most of them removed again", () => {
  const map = new WordMap<number>();
  for (let i = 0; i < 5000; i++) map.add(words(i % 70, Math.floor(i / 70), 0), 3, i);
  for (let i = 0; i < 5000; i++) expect(map.get(words(i % 70, Math.floor(i / 70), 0))).toBe(i);
  map.remove(1000, (value) => value % 2 === 0);
  expect(map.size).toBe(4000);
  for (let i = 1; i < 5000; i += 2) expect(map.get(words(i % 70, Math.floor(i / 70), 0))).toBe(i);
  map.remove(Infinity, () => true);
  expect(map.size).toBe(0);
  expect(map.get(words(1, 0, 0))).toBeUndefined();
});
