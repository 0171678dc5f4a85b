import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { ladders } from "../../kernels-bench/budget.ts";
import { REGISTRY } from "../../kernels-bench/cases.ts";
import { type BenchCase, repeatedValues, sized, spread } from "../../kernels-bench/harness.ts";
import { checkCase } from "../../kernels-bench/measure.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { add } from "../../src/kernels/elementwise.ts";
import { testDevice } from "../support/device.ts";
import { ROOT } from "../support/shaders.ts";

const ALL = Object.values(REGISTRY).flat();

test("every benchmark file is in the registry", () => {
  const files = readdirSync(resolve(ROOT, "kernels-bench")).filter((name) => name.endsWith(".bench.ts"));
  expect(files.map((name) => name.replace(".bench.ts", "")).sort()).toEqual(Object.keys(REGISTRY).sort());
});

test("names are unique, and sizes grow by work within an op", () => {
  expect(new Set(ALL.map(({ name }) => name)).size).toBe(ALL.length);
  for (const ladder of ladders(ALL)) {
    expect(
      ladder.every(({ work }) => (work ?? 0) > 0),
      ladder[0]?.op,
    ).toBe(true);
  }
});

test("the sizes of real transformers are among them", () => {
  const words = new Set(ALL.flatMap(({ size = "" }) => size.split(" ")));
  for (const word of [
    "T128",
    "T512",
    "T2048",
    "K576",
    "K896",
    "K2048",
    "N8192",
    "D64",
    "D128",
    "V32000",
    "V151936",
  ])
    expect(words, word).toContain(word);
});

describe("the smallest size of each op is right", () => {
  const smallest = ladders(ALL).map((ladder) => ladder[0] as BenchCase);
  test.for(smallest.map((benchCase) => [benchCase.name, benchCase] as const))(
    "%s",
    async ([, benchCase], { skip }) => {
      const device = await testDevice();
      const reason = benchCase.unfit?.(device);
      skip(reason !== undefined, reason);
      await checkCase(benchCase, device);
    },
  );
});

describe("a wrong result is found", () => {
  const sum = (reference: () => ArrayLike<number>) =>
    sized("sum", "P4", 4, (device) => {
      const x = fromArray(device, Float32Array.of(1, 2, 3, 4), [4]);
      return { run: () => add(x, x), reference };
    });

  test("a value", async () => {
    const device = await testDevice();
    await checkCase(
      sum(() => [2, 4, 6, 8]),
      device,
    );
    await expect(
      checkCase(
        sum(() => [2, 4, 6.01, 8]),
        device,
      ),
    ).rejects.toThrow(/sum P4: wrong at \[2\]: got 6, wanted 6\.01\n.*not timed/);
  });

  test("NaN", async () => {
    await expect(
      checkCase(
        sum(() => [2, Number.NaN, 6, 8]),
        await testDevice(),
      ),
    ).rejects.toThrow(/wrong at \[/);
  });

  test("another number of values", async () => {
    await expect(
      checkCase(
        sum(() => [2, 4]),
        await testDevice(),
      ),
    ).rejects.toThrow(/got 4 values, wanted 2/);
  });
});

test("samples run from the first to the last element", () => {
  expect(spread(3, 8)).toEqual([0, 1, 2]);
  expect(spread(101, 5)).toEqual([0, 25, 50, 75, 100]);
});

test("repeated values differ from row to row and are the same in every run", () => {
  const values = repeatedValues(200_000, 3);
  expect(values.slice(0, 5)).toEqual(repeatedValues(5, 3));
  expect(values.slice(65_521, 65_526)).toEqual(values.slice(0, 5));
  expect(values.slice(65_536, 65_541)).not.toEqual(values.slice(0, 5));
});
