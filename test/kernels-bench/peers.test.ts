import { describe, expect, test } from "vitest";
import { contest } from "../../kernels-bench/peers/duel.ts";
import { type Engine, importPeer } from "../../kernels-bench/peers/engine.ts";
import { checkPeerNames, resting } from "../../kernels-bench/peers/engines.ts";
import { ourEngine } from "../../kernels-bench/peers/ours.ts";
import { formatContest } from "../../kernels-bench/peers/peers-result.ts";
import { processDecoder } from "../../kernels-bench/peers/process-decoder.ts";
import {
  causalMask,
  type Direction,
  input,
  nameOf,
  oneHot,
  ropeTables,
  type Work,
} from "../../kernels-bench/peers/work.ts";
import { attentionReference } from "../reference/attention.ts";
import { matmulReference } from "../reference/matmul.ts";
import { testDevice } from "../support/device.ts";

/** An engine that gives these numbers for anything, in no time. */
function fake(name: string, outputs: number[][] | undefined): Engine {
  const prepared = { outputs: async () => outputs ?? [], start: () => async () => {}, release: () => {} };
  return { name, version: "1", prepare: async () => (outputs ? prepared : undefined) };
}

const WORK: Work = { kind: "matmul", n: 8 };

describe("engines in turns", () => {
  test("are compared with the first before they are timed", async () => {
    const engines = [
      fake("first", [[1, 2]]),
      fake("alike", [[1, 2.001]]),
      fake("wrong", [[1, 3]]),
      fake("unable", undefined),
    ];
    const { entries, work } = await contest(WORK, engines, 3);
    expect(work).toBe("matmul 8³");
    expect(entries.map(({ engine }) => engine)).toEqual(["first", "alike", "wrong"]);
    expect(entries[0]).toMatchObject({ ratio: 1, difference: 0 });
    expect(entries[1]?.median).toBeGreaterThanOrEqual(0);
    expect(entries[2]?.failure).toMatch(/its outputs differ by 0\.\d+; wanted at most 0\.002/);
    expect(formatContest({ work, rounds: 3, entries }).join("\n")).toMatch(
      /first 1 +[\d.]+.*1\.00[\s\S]*wrong 1 was not timed/,
    );
  });

  test("other numbers of outputs are a failure, not a crash", async () => {
    const { entries } = await contest(WORK, [fake("first", [[1]]), fake("odd", [[1], [1]])], 1);
    expect(entries[1]?.failure).toBe("gave 2 outputs, not 1");
  });
});

describe("an engine in a process of its own", () => {
  const program = (script: string) => ({
    name: "child",
    command: process.execPath,
    args: [
      "-e",
      `console.log("1.2"); require("readline").createInterface(process.stdin).on("line", ${script})`,
    ],
  });

  test("gives token after token, and says what they cost", async () => {
    const counting = '(line) => line === "end" || console.log(String(line.length + 40), "0.25")';
    const decoder = await processDecoder(program(counting), 30_000);
    const tokens: number[] = [];
    for await (const token of decoder.write([1, 2])) if (tokens.push(token) === 2) break;
    expect(decoder).toMatchObject({ name: "child", version: "1.2" });
    expect(tokens).toEqual([43, 40]);
    expect(decoder.processorMs?.()).toBe(250);
    await decoder.release();
  });

  test("is ended where it does not answer in time", async () => {
    const decoder = await processDecoder(program("() => {}"), 2000);
    await expect(decoder.write([1]).next()).rejects.toThrow("no token within 2 s");
    await decoder.release();
  });

  test("that ends or is not there says so", async () => {
    const decoder = await processDecoder(program("() => process.exit(3)"), 30_000);
    await expect(decoder.write([1]).next()).rejects.toThrow("child: the process has ended without a token");
    const missing = { name: "none", command: "no-such-command", args: [] };
    await expect(processDecoder(missing, 30_000)).rejects.toThrow(/ENOENT|ended without a version/);
  });
});

describe("an engine that rests", () => {
  test("computes the same and waits in the given way", async () => {
    let waits = 0;
    const engine = resting(fake("rested", [[7]]), (pending) => {
      waits++;
      return pending;
    });
    const prepared = await engine.prepare(WORK);
    expect(await prepared?.outputs()).toEqual([[7]]);
    await prepared?.start()();
    expect(waits).toBe(1);
    expect(await resting(fake("unable", undefined), (pending) => pending).prepare(WORK)).toBeUndefined();
  });
});

describe("a peer that is not there", () => {
  test("names the command that installs it", async () => {
    await expect(importPeer("webgpu-lora-no-such-peer")).rejects.toThrow(
      /webgpu-lora-no-such-peer: is not installed\n.*npm install --prefix kernels-bench\/peers/,
    );
  });

  test("by that name lists those that there are", () => {
    expect(() => checkPeerNames(["jx"])).toThrow(/no peer "jx"; did you mean jax\?\n.*peers: jax, tfjs, ort/);
  });
});

/** The outputs of this package for a work. */
async function ours(work: Work): Promise<readonly ArrayLike<number>[]> {
  const prepared = await ourEngine(await testDevice(), "1").prepare(work);
  try {
    return (await prepared?.outputs()) ?? [];
  } finally {
    prepared?.release();
  }
}

describe("this package computes what the work says", () => {
  test("a product", async () => {
    const [a, b] = [input([8, 8], 1).values, input([8, 8], 2).values];
    expect((await ours(WORK))[0]).toBeClose(matmulReference(a, b, { m: 8, n: 8, k: 8, layout: "NN" }));
  });

  test("attention", async () => {
    const size = { heads: 2, headDim: 8, tokens: 5 };
    const [q, k, v] = [1, 2, 3].map((seed) => input([5, 2, 8], seed).values) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const problem = {
      batch: 1,
      queries: 5,
      keyStride: 5,
      heads: 2,
      kvHeads: 2,
      headDim: 8,
      scale: 1 / Math.sqrt(8),
    };
    const [o] = await ours({ kind: "attention", direction: "forward", ...size });
    expect(o).toBeClose(attentionReference({ q, k, v }, problem).o);
    expect(await ours({ kind: "attention", direction: "forward+backward", ...size })).toHaveLength(3);
  });

  test.each<[Work, number]>([
    ...(["forward", "forward+backward"] as Direction[]).flatMap((direction, i): [Work, number][] => [
      [{ kind: "rms-norm", rows: 3, cols: 8, direction }, 1 + i],
      [{ kind: "swiglu", rows: 3, cols: 8, direction }, 1 + i],
      [{ kind: "rope", tokens: 3, heads: 2, headDim: 8, direction }, 1],
      [{ kind: "cross-entropy", rows: 3, vocab: 16, direction }, 1],
    ]),
    [{ kind: "adamw", count: 16 }, 3],
  ])("%o gives %i outputs", async (work, count) => {
    const outputs = await ours(work);
    expect(outputs).toHaveLength(count);
    for (const values of outputs) expect(Array.from(values).every(Number.isFinite), nameOf(work)).toBe(true);
  });
});

test("inputs that engines share", () => {
  expect([...oneHot([1, 0], 3).values]).toEqual([0, 1, 0, 1, 0, 0]);
  expect([...causalMask(2).values]).toEqual([0, -1e9, 0, 0]);
  const { cos, sin } = ropeTables(2, 4);
  expect([...cos.values].slice(0, 2)).toEqual([1, 1]);
  expect(sin.values[2]).toBeCloseTo(Math.sin(1));
});
