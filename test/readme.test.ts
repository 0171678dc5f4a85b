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

const docs = readdirSync(join(ROOT, "docs"))
  .filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`);
const pages = ["README.md", ...docs].map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));

test.each(pages)("every file, folder and script that $path names is there", ({ path, text }) => {
  const quoted = /`((?:src|test|docs|scripts|shaders|models|kernels-bench)\/[^`*\s]*)`/g;
  const linked = /\]\((?!https?:)([^)#]+)\)/g;
  const named = [
    ...[...text.matchAll(quoted)].map(([, name]) => name as string),
    ...[...text.matchAll(linked)].map(([, name]) => join(path, "..", name as string)),
  ];
  // `foo` is the kernel that a reader is about to write, words in capitals stand for names.
  const real = named.filter((name) => !/\bfoo\b|[A-Z]{4}/.test(name.replace("README", "")));
  expect(real.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  const { scripts } = readJsonFile<{ scripts: object }>(ROOT, "package.json");
  const run = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name as string);
  expect(run.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});

test("the README's map has a line for every folder of src", () => {
  const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  expect(folders.filter(({ name }) => !readme.includes(`\`src/${name}/\``)).map(({ name }) => name)).toEqual(
    [],
  );
});

test("the code that docs/rms-norm.md quotes is the shader's", () => {
  const bare = (code: string) => code.replace(/\/\/.*/g, "").replace(/\s/g, "");
  const shader = bare(readFileSync(join(ROOT, "shaders/rms-norm.wgsl"), "utf8"));
  const page = pages.find(({ path }) => path === "docs/rms-norm.md")!.text;
  const blocks = [...page.matchAll(/```wgsl\n([\s\S]*?)```/g)].map(([, code]) => code as string);
  const lines = blocks
    .flatMap((code) => code.split("\n").map(bare))
    .filter((line) => !["", "..."].includes(line));
  expect(lines.length).toBeGreaterThan(3);
  expect(lines.filter((line) => !shader.includes(line))).toEqual([]);
});
