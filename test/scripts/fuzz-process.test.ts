import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { createRandom } from "../../src/util/random.ts";
import { bundleForNode } from "../support/bundle.ts";

const PROGRAM = resolve("node_modules/.cache/webgpu-lora-fuzz/bad-targets.mjs");

beforeAll(() => bundleForNode({ entryPoints: ["test/scripts/bad-targets.ts"], outfile: PROGRAM }));

const run = (...words: string[]) => spawnSync(process.execPath, [PROGRAM, ...words], { encoding: "utf8" });

/** Seeds and kinds of what was found. */
const toldBy = (stdout: string) =>
  [...stdout.matchAll(/^(\w+ --seed \d+) --count 1: (.*)$/gm)].map(([, input, kind]) => `${input}: ${kind}`);

/** How the inputs of the target `bad` end; the first kind is clean. */
const KINDS = ["accepted", "died", "memory", "rejection"];
const kindOf = (seed: number) => KINDS[createRandom(seed).fork("bad").integer(KINDS.length)] as string;

test("what dies, hoards or fails unheard is told by its seed, and the next inputs are read", () => {
  const window = (first: number) => KINDS.map((_, i) => kindOf(first + i));
  const first = Array.from({ length: 1000 }, (_, i) => i).find(
    (i) => new Set(window(i)).size === KINDS.length,
  );
  const { stdout, status } = run("bad", "--count", "4", "--seed", String(first));
  expect(stdout).toMatch(/bad: 4 inputs in .*: 1 accepted, 0 refused, 3 not clean/);
  expect(status).toBe(1);
  const want = window(first as number).map((kind, i) => `bad --seed ${(first as number) + i}: ${kind}`);
  expect(toldBy(stdout)).toEqual(want.filter((line) => !line.endsWith("accepted")));
});

test("what does not end is stopped", () => {
  const { stdout, status } = run("stuck", "--count", "1", "--seed", "5");
  expect([status, toldBy(stdout)]).toEqual([1, ["stuck --seed 5: hang"]]);
});

test("an unknown target is told those that there are", () => {
  const { stderr, status } = run("good", "--count", "1");
  expect([status, stderr]).toEqual([2, expect.stringContaining("targets: bad, stuck")]);
});
