import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  comparisonPage,
  describeRuns,
  differencesOf,
  summaryOf,
} from "../../../src/cli/watch/compare-runs.ts";
import { type RunAbout, writeRunFile } from "../../../src/cli/watch/run-file.ts";
import { findRuns } from "../../../src/cli/watch/run-folders.ts";
import { entryLine, evaluationEntry, stepEntry } from "../../../src/train/watch/log-entry.ts";
import { unbalanced } from "../../support/page.ts";
import { stepMetrics } from "../../support/step-metrics.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-runs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);

const ABOUT: RunAbout = {
  ...{
    status: "finished",
    model: "models/demo",
    task: "causal-lm",
    totalSteps: 20,
    trainable: 1,
    parameters: 2,
  },
  ...{ started: "2026-11-30T01:00:00.000Z", given: [], data: [], versions: {}, resumed: [] },
  settings: { learning_rate: 1e-3, lora_r: 8, output_dir: "a" },
};

function writeRun(name: string, about: Partial<RunAbout> | undefined, loss: number, tail = ""): void {
  mkdirSync(path(name), { recursive: true });
  if (about) writeRunFile(path(name), { ...ABOUT, ...about });
  const entries = Array.from({ length: 20 }, (_, i) =>
    stepEntry(stepMetrics(i + 1, { loss: loss + 1 / (i + 1) })),
  );
  const evaluation = evaluationEntry({ step: 10, passes: 1, loss, seconds: 1 });
  writeFileSync(join(path(name), "metrics.jsonl"), [...entries, evaluation].map(entryLine).join("") + tail);
}

writeRun("all/slow", { settings: { ...ABOUT.settings, learning_rate: 1e-4, output_dir: "b" } }, 3);
writeRun("all/fast", { started: "2026-11-30T02:00:00.000Z" }, 2, '{"step":21,"ep');
writeRun("all/deep/old", undefined, 1);
mkdirSync(path("all/empty/checkpoint-5"), { recursive: true });
mkdirSync(path("all/begun"));
writeRunFile(path("all/begun"), { ...ABOUT, status: "running", started: "2026-11-30T03:00:00.000Z" });

test("runs are found below folders, in order, with what is wrong with their files", () => {
  const runs = findRuns([path("all")], "started");
  expect(runs.map(({ folder, status }) => [folder.slice(path("all/").length), status])).toEqual([
    ["slow", "finished"],
    ["fast", "finished"],
    ["begun", "killed"],
    ["deep/old", "unknown"],
  ]);
  expect(runs.map(({ remarks }) => remarks.join("; "))).toEqual([
    "",
    "metrics.jsonl: line 22 cannot be read, and is left out",
    "metrics.jsonl is missing: it has no curves",
    "run.json is missing: its settings are not known",
  ]);
  const byLoss = findRuns([path("all"), path("all/fast")], "eval_loss");
  expect(byLoss.map(({ folder }) => folder.split("/").at(-1))).toEqual(["old", "fast", "slow", "begun"]);
});

test("folders without a run are named, all of them", () => {
  const wanted =
    /2 problems[\s\S]*all\/empty holds no run: neither metrics\.jsonl nor run\.json[\s\S]*nowhere is no folder/;
  expect(() => findRuns([path("all/empty"), path("nowhere")], "started")).toThrow(wanted);
});

test("a broken run.json is told, and the rest of the run shown", () => {
  writeRun("broken", undefined, 1);
  writeFileSync(join(path("broken"), "run.json"), '{"status": 3}');
  const [run] = findRuns([path("broken")], "started");
  expect(run?.remarks).toEqual([expect.stringContaining("run.json is no file about a run")]);
  expect(run?.figures.last("loss")).toBeCloseTo(1.05);
});

test("a table, and the settings that differ", () => {
  const summaries = findRuns([path("all/slow"), path("all/fast")], "started").map(summaryOf);
  expect(differencesOf(summaries)).toEqual([{ name: "learning_rate", values: [1e-4, 1e-3] }]);
  const lines = describeRuns(summaries).map((line) => line.replaceAll(folder, ""));
  expect(lines[0]).toMatch(/^run +status +steps +loss +eval loss +at step +tokens\/s +time$/);
  expect(lines[1]).toMatch(/^\/all\/slow +finished +20\/20 +3\.067 +3\.000 +10 +24 +10 s$/);
  expect(lines.slice(-3).map((line) => line.replace(/ +/g, " "))).toEqual([
    "run learning_rate",
    "/all/slow 0.0001",
    "/all/fast 0.001",
  ]);
});

test("one page has the curves of all", () => {
  const page = comparisonPage(findRuns([path("all")], "started"));
  expect(unbalanced(page)).toEqual([]);
  expect(page).toContain("<h1>4 runs</h1>");
  expect(page.match(/<figure>/g)?.length).toBe(6);
  expect(page).toMatch(/<td>learning_rate<\/td><td>0\.0001<\/td><td>0\.001<\/td>/);
});
