import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { breaches, type Tree } from "./support/architecture.ts";

const ROOT = resolve(import.meta.dirname, "..");

function readTree(): Tree {
  const paths = ["src", "shaders", "test", "kernels-bench", "scripts"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true }).map((path) => `${folder}/${path}`),
  );
  const sources = paths.filter((path) => /\.(ts|wgsl)$/.test(path) && !path.includes("node_modules"));
  return new Map(sources.map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));
}

test("the source tree keeps its rules", () => {
  expect(breaches(readTree())).toEqual([]);
});

/** A tree without a breach: one kernel with its four places, one user of it. */
const SOUND: Readonly<Record<string, string>> = {
  "shaders/foo.wgsl": "@compute @workgroup_size(64) fn forward() {}",
  "src/util/fail.ts": "export function fail(): never { throw new Error('process.exit'); } // process.exit()",
  "src/kernels/foo.ts":
    'import shader from "../../shaders/foo.wgsl";\nexport function foo(x: Tensor): Tensor {\n  return shader;\n}',
  "src/nn/foo.ts":
    'import { foo } from "../kernels/foo.ts";\nexport const take = (window: number[]) => window.map((x) => foo([...window].push({ ...x })));',
  "src/models/foo.ts": 'import type { take } from "../nn/foo.ts";\nexport type A = typeof take;',
  "src/io/foo.ts":
    'import { fail } from "../util/fail.ts";\nexport const anything = fail; // takes any number',
  "src/platform/node-foo.ts":
    'import { exit } from "node:process";\nexport const quit = () => exit(process.pid);',
  "test/reference/foo.ts": "export const foo = () => 0;",
  "test/kernels/foo.test.ts": 'import { foo } from "../../src/kernels/foo.ts";\nfoo();',
  "kernels-bench/foo.bench.ts": 'import { foo } from "../src/kernels/foo.ts";\nfoo();',
};

const plant = (changes: Record<string, string | undefined>): Tree =>
  new Map(
    Object.entries({ ...SOUND, ...changes }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );

test("a sound tree has no breach", () => {
  expect(breaches(plant({}))).toEqual([]);
});

const PLANTED: [what: string, changes: Record<string, string | undefined>, breach: RegExp][] = [
  [
    "an upward import",
    { "src/util/a.ts": 'import { foo } from "../kernels/foo.ts";' },
    /util\/a\.ts \(level 0\) imports .*kernels/,
  ],
  [
    "an upward type import",
    { "src/gpu/a.ts": 'import type { A } from "../models/foo.ts";' },
    /gpu\/a\.ts \(level 1\)/,
  ],
  [
    "an upward re-export",
    { "src/nn/a.ts": 'export * from "../train/run.ts";', "src/train/run.ts": "" },
    /nn\/a\.ts \(level 4\)/,
  ],
  [
    "an upward lazy import",
    { "src/io/a.ts": 'const a = import("../platform/node-foo.ts");' },
    /io\/a\.ts \(level 5\)/,
  ],
  [
    "an import of several lines",
    { "src/nn/a.ts": 'import {\n  type A,\n} from "../models/foo.ts";' },
    /nn\/a\.ts/,
  ],
  [
    "an import between siblings",
    { "src/io/a.ts": 'import type { A } from "../models/foo.ts";' },
    /know nothing of each other/,
  ],
  [
    "a folder without a level",
    { "src/misc/a.ts": 'import "../util/fail.ts";' },
    /misc\/a\.ts: the folder has no level/,
  ],
  [
    "a cycle",
    { "src/nn/a.ts": 'import "./b.ts";', "src/nn/b.ts": 'import type { X } from "./a.ts";' },
    /import cycle: src\/nn\/a\.ts → src\/nn\/b\.ts → src\/nn\/a\.ts/,
  ],
  [
    "a cycle between folders of a level",
    { "src/data/a.ts": 'import "../train/b.ts";', "src/train/b.ts": 'import "../data/a.ts";' },
    /import cycle/,
  ],
  ["a long file", { "src/nn/a.ts": "\n".repeat(401) }, /nn\/a\.ts: 401 lines/],
  ["a long shader", { "shaders/common/a.wgsl": "\n".repeat(500) }, /common\/a\.wgsl: 500 lines/],
  [
    "a node: module",
    { "src/train/a.ts": 'import { join } from "node:path";' },
    /train\/a\.ts imports a node: module/,
  ],
  ["a global of Node", { "src/data/a.ts": "export const a = process.env.HOME;" }, /uses the global process/],
  ["a global of the DOM", { "src/load/a.ts": 'document.querySelector("a");' }, /uses the global document/],
  [
    "a global by way of globalThis",
    { "src/load/a.ts": "const gpu = globalThis.navigator?.gpu;" },
    /uses the global navigator/,
  ],
  ["a default export", { "src/nn/a.ts": "export default 1;" }, /has a default export/],
  ["any", { "src/nn/a.ts": "export const a = (x: any) => x;" }, /uses the type any/],
  ["a cast to any", { "src/nn/a.ts": "export const a = [] as any;" }, /uses the type any/],
  ["any as an argument", { "src/nn/a.ts": "export const a = new Map<string, any>();" }, /uses the type any/],
  [
    "a list spread into the arguments of a call",
    { "src/nn/a.ts": "export const a = (x: number[]) => Math.max(0, ...x);" },
    /nn\/a\.ts spreads a list into Math\.max/,
  ],
  [
    "a list pushed item by item",
    { "src/nn/a.ts": "export const a = (x: number[], y: number[]) => x.push({ a: [...y] }, ...y);" },
    /nn\/a\.ts spreads a list into push/,
  ],
  [
    "a shader imported by a layer",
    { "src/nn/a.ts": 'import foo from "../../shaders/foo.wgsl";' },
    /only kernels import shaders/,
  ],
  [
    "source that imports tests",
    { "src/nn/a.ts": 'import "../../test/reference/foo.ts";' },
    /which is no source/,
  ],
  ["a shader without a wrapper", { "shaders/bar.wgsl": "" }, /bar\.wgsl: no wrapper/],
  [
    "a kernel without a test",
    { "test/kernels/foo.test.ts": undefined },
    /test\/kernels\/foo\.test\.ts is missing/,
  ],
  [
    "a kernel without a reference",
    { "test/reference/foo.ts": undefined },
    /test\/reference\/foo\.ts is missing/,
  ],
  ["a kernel without a benchmark", { "kernels-bench/foo.bench.ts": undefined }, /foo\.bench\.ts is missing/],
  [
    "a test that uses no kernel",
    { "test/kernels/foo.test.ts": "const foo = 1;" },
    /foo\.test\.ts does not use/,
  ],
  [
    "a kernel function without a test",
    { "test/kernels/foo.test.ts": 'import "../../src/kernels/foo.ts";' },
    /does not call foo/,
  ],
];

test.each(PLANTED)("finds %s", (_, changes, breach) => {
  expect(breaches(plant(changes)).join("\n")).toMatch(breach);
});
