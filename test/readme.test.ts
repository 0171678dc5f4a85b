import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fixturePath, readJsonFile } from "./support/fixtures.ts";
import { ROOT } from "./support/shaders.ts";

const readme = readFileSync(join(ROOT, "README.md"), "utf8");

/** Rows of the table of families: what each claims, and the fixtures whose tests stand for it. */
const families = [...readme.matchAll(/^\| (.+?) \| ✓ \| ✓ \| ✓ \| ([✓–]) \| (.+) \|$/gm)].map(
  ([, name, generates, cell]) => ({
    name: name as string,
    generates: generates === "✓",
    fixtures: [...(cell as string).matchAll(/`(.+?)`/g)].map(([, fixture]) => fixture as string),
  }),
);

test("every family in the README has its fixtures, and every fixture its family", () => {
  const listed = families.flatMap(({ fixtures }) => fixtures);
  const there = ["families", "tasks"].flatMap((kind) =>
    readdirSync(fixturePath(kind)).map((name) => `${kind}/${name}`),
  );
  expect(listed.sort()).toEqual(["llama-gqa", "llama-tied", ...there].sort());
});

test.each(families)("$name generates where the README says so", ({ generates, fixtures }) => {
  const texts = fixtures.map(
    (name) => readJsonFile<{ generate?: object }>(fixturePath(name), "golden.json").generate,
  );
  expect(texts.some((text) => text !== undefined)).toBe(generates);
});

test("every file and folder that the README names is there", () => {
  const named = [
    ...readme.matchAll(
      /(?:`|\]\()((?:src|test|docs|scripts|shaders|models|kernels-bench)\/[^`)*]*)(?:`|\))/g,
    ),
  ];
  const missing = named.map(([, path]) => path as string).filter((path) => !existsSync(join(ROOT, path)));
  expect(named.length).toBeGreaterThan(10);
  expect(missing).toEqual([]);
});
