import { expect, test } from "vitest";
import { WordMap } from "../../src/gpu/word-map.ts";

const words = (...values: number[]) => Uint32Array.from(values);

test("keys are compared by content and length", () => {
  const map = new WordMap<{ name: string; lastUse: number }>();
  const value = (name: string) => ({ name, lastUse: 0 });
  const key = words(1, 2, 3);
  map.add(key, 3, value("three"));
  map.add(key, 2, value("two"));
  key[0] = 9; // the map keeps its own copy
  expect(map.get(words(1, 2, 3))?.name).toBe("three");
  expect(map.get(words(1, 2, 3), 2)?.name).toBe("two");
  expect(map.get(words(9, 2, 3))).toBeUndefined();
  expect(map.get(words())).toBeUndefined();
  expect(map.size).toBe(2);
});

const filled = (count: number) => {
  const map = new WordMap<{ lastUse: number }>();
  for (let i = 0; i < count; i++) map.add(keyOf(i), 3, { lastUse: i });
  return map;
};
const keyOf = (i: number) => words(i % 70, Math.floor(i / 70), 0);

test("many keys, most of them removed again", () => {
  const map = filled(5000);
  for (let i = 0; i < 5000; i++) expect(map.get(keyOf(i))?.lastUse).toBe(i);
  map.remove(({ lastUse }, key) => lastUse % 2 === 0 && key[1]! < 50);
  expect(map.size).toBe(5000 - 1750);
  for (let i = 1; i < 5000; i += 2) expect(map.get(keyOf(i))?.lastUse).toBe(i);
  map.remove(() => true);
  expect(map.size).toBe(0);
  expect(map.get(keyOf(1))).toBeUndefined();
});

test("the half that was used longest ago is removed, but nothing that is in use", () => {
  const map = filled(101);
  for (let i = 0; i < 10; i++) map.get(keyOf(i))!.lastUse = 200 + i;
  const removed: number[] = [];
  map.removeOldest(1000, ({ lastUse }) => removed.push(lastUse));
  expect(removed).toEqual(Array.from({ length: 51 }, (_, i) => 10 + i));
  expect(map.size).toBe(50);
  for (let i = 0; i < 50; i++) map.get(keyOf(i < 10 ? i : i + 51))!.lastUse = 1000;
  map.removeOldest(1000);
  expect(map.size).toBe(50);
});
