import { describe, expect, test } from "vitest";
import { textOf, treeOf } from "../../scripts/fuzz/json-tree.ts";
import { DEEP, mutateJson } from "../../scripts/fuzz/mutate-json.ts";
import { type Ending, ending, ensure, inputOf, type Target } from "../../scripts/fuzz/target.ts";
import { TARGETS } from "../../scripts/fuzz/targets.ts";
import { fail } from "../../src/util/fail.ts";
import { createRandom } from "../../src/util/random.ts";

/** Inputs of each target; scripts/fuzz.ts reads as many as there is time for. */
const SEEDS = Array.from({ length: 300 }, (_, i) => 1_000_000 + i);

test.each(Object.entries(TARGETS))(
  "%s: broken inputs are read rightly, or refused with a remedy",
  async (name, target) => {
    const endings: Ending[] = [];
    for (const seed of SEEDS) {
      const found = await ending(target, inputOf(name, target, seed));
      // How long it took depends on what else runs here.
      expect(typeof found === "object" && found.kind !== "slow" ? { ...found, seed } : "clean").toBe("clean");
      endings.push(found);
    }
    expect(endings.filter((found) => found === "accepted").length).toBeGreaterThan(5);
    expect(endings.filter((found) => found === "refused").length).toBeGreaterThan(5);
  },
);

describe("an input is not clean", () => {
  const target = (read: Target["read"]): Target => ({ make: () => new Map(), read });
  test.each<[string, Target["read"], object]>([
    ["where the error is another one", () => [].reduce((a) => a), { kind: "wrong error" }],
    ["where nothing is said to be done", () => fail("x", "is wrong"), { kind: "no remedy" }],
    [
      "where it is taken wrongly",
      () => ensure(false, () => "no"),
      { kind: "wrongly accepted", detail: "no" },
    ],
  ])("%s", async (_, read, want) => {
    expect(await ending(target(read), new Map())).toMatchObject(want);
  });

  test("where it takes long", async () => {
    const read = (wall: number[], processor: number[]) =>
      ending(
        target(() => {}),
        new Map(),
        {
          wall: () => wall.shift() as number,
          processor: () => processor.shift() as number,
        },
      );
    expect(await read([5, 1006], [7, 1009])).toEqual({
      kind: "slow",
      detail: "took 1002 ms and was accepted",
    });
    expect(await read([5, 1006], [7, 1007])).toBe("accepted"); // the machine was busy
    expect(await read([5, 1005], [])).toBe("accepted");
  });

  test("and is clean otherwise", async () => {
    expect(
      await ending(
        target(() => fail("x", "is wrong", "do this")),
        new Map(),
      ),
    ).toBe("refused");
    expect(
      await ending(
        target(() => {}),
        new Map(),
      ),
    ).toBe("accepted");
  });
});

test("a seed gives the same input whenever it is asked for", () => {
  for (const [name, target] of Object.entries(TARGETS)) {
    expect(inputOf(name, target, 7)).toEqual(inputOf(name, target, 7));
    expect(inputOf(name, target, 7)).not.toEqual(inputOf(name, target, 8));
  }
});

test("changed JSON has keys twice, other spellings and deep nesting; the tree itself stays as it was", () => {
  const tree = treeOf({ a: [1, 2, { b: "x" }], c: { d: null } });
  const random = createRandom(1);
  const texts = Array.from({ length: 3000 }, () => textOf(mutateJson(tree, random, [treeOf({ e: 3 })])));
  expect(textOf(tree)).toBe('{"a":[1,2,{"b":"x"}],"c":{"d":null}}');
  for (const part of [
    '"a":[1,2,{"b":"x"}],"a"',
    "1.0",
    "-0",
    "\\ud800",
    "__proto__",
    '"e":3',
    "[".repeat(DEEP),
  ]) {
    expect(
      texts.some((text) => text.includes(part)),
      part.slice(0, 40),
    ).toBe(true);
  }
});
