import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { AppendedFile } from "../../../src/cli/watch/appended-file.ts";
import { MetricsFile } from "../../../src/cli/watch/metrics-file.ts";
import { watchRun } from "../../../src/cli/watch/watch-run.ts";
import { stepMetrics } from "../../support/step-metrics.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-watch-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string) => join(folder, name);
const bytes = (text: string) => new TextEncoder().encode(text);
const stepsIn = (file: string) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line).step);

test("a disk that is full is told once; what waited is written when it can be", () => {
  const told: string[] = [];
  const file = path("occupied");
  mkdirSync(file);
  const appended = new AppendedFile(file, 0, (line) => told.push(line));
  appended.append(bytes("one\n"));
  appended.append(bytes("two\n"));
  rmdirSync(file);
  appended.append(bytes("three\n"));
  appended.close();
  expect(readFileSync(file, "utf8")).toBe("one\ntwo\nthree\n");
  expect(told).toEqual([
    expect.stringMatching(/^warning: .*occupied is not written, the training goes on: EISDIR/),
    `${file} is written again`,
  ]);
});

test.runIf(process.platform === "linux")("the system's full disk is no end of the run", () => {
  const told: string[] = [];
  const appended = new AppendedFile("/dev/full", 0, (line) => told.push(line));
  for (let i = 0; i < 3; i++) appended.append(bytes("a line\n"));
  appended.close();
  expect(told).toEqual([expect.stringContaining("ENOSPC")]);
});

test("a run that goes on keeps the lines until its checkpoint, whole ones alone", () => {
  const file = path("metrics.jsonl");
  const entry = (step: number) => ({ step, epoch: step / 10, loss: 1 });
  const begun = new MetricsFile(file, () => {});
  for (const step of [1, 2, 3, 4]) begun.add(entry(step));
  begun.add({ step: 4, epoch: 0.4, eval_loss: 1 });
  begun.add(entry(5));
  begun.close();
  writeFileSync(file, `${readFileSync(file, "utf8")}{"step":6,"ep`);
  const resumed = new MetricsFile(file, () => {});
  expect(resumed.keepUntil(4).map(({ step }) => step)).toEqual([1, 2, 3, 4, 4]);
  resumed.add(entry(5));
  resumed.add(entry(6));
  expect(stepsIn(file)).toEqual([1, 2, 3, 4, 4, 5, 6]);
  resumed.add(entry(3)); // computed again, after its device was lost
  resumed.add(entry(4));
  resumed.close();
  expect(stepsIn(file)).toEqual([1, 2, 3, 4]);
});

const about = {
  ...{ model: "m", task: "causal-lm", trainable: 1, parameters: 2, settings: {}, given: [], data: [] },
  versions: {},
};

test("what is known of a run is kept with it: when it began, where it went on, how it ended", async () => {
  const out = path("run");
  mkdirSync(out);
  const watch = (resumed: { step: number; folder: string } | undefined) =>
    watchRun({ folder: out, reports: ["jsonl"], about, config: "", resumed, tell: () => {} });
  const read = () => JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  const first = watch(undefined);
  await first.observer.onStep(stepMetrics(1), []);
  expect(read()).toMatchObject({ status: "running", totalSteps: 5, resumed: [] });
  const { started } = read();
  const second = watch({ step: 1, folder: out });
  await second.observer.onStep(stepMetrics(2), []);
  second.end("failed", new Error("no memory"));
  expect(read()).toMatchObject({ status: "failed", error: "no memory", started, resumed: [1] });
  expect(stepsIn(join(out, "metrics.jsonl"))).toEqual([1, 2]);
  const elsewhere = path("elsewhere");
  mkdirSync(elsewhere);
  const third = watchRun({
    ...{ folder: elsewhere, reports: ["jsonl"], about, config: "", tell: () => {} },
    resumed: { step: 1, folder: out },
  });
  await third.observer.onStep(stepMetrics(2, { loss: 7 }), []);
  third.end("finished");
  expect(stepsIn(join(elsewhere, "metrics.jsonl"))).toEqual([1, 2]);
});

test("a folder that cannot be written to is told, and nothing is thrown", async () => {
  const told: string[] = [];
  const nowhere = path("nowhere");
  const watch = watchRun({
    ...{ folder: nowhere, reports: ["jsonl"], about, config: "", resumed: undefined },
    tell: (line) => told.push(line),
  });
  for (const step of [1, 2]) await watch.observer.onStep(stepMetrics(step), []);
  watch.end("finished");
  expect(told).toEqual([
    expect.stringMatching(/config\.yaml is not written: ENOENT/),
    expect.stringContaining(`cannot be noted in ${nowhere}: ENOENT`),
    expect.stringMatching(/metrics\.jsonl is not written, the training goes on: ENOENT/),
  ]);
});
