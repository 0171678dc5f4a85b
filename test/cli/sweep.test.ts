import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { sweepPage } from "../../src/cli/sweep/page.ts";
import { bestTrial, readResults, resultLines } from "../../src/cli/sweep/results.ts";
import { readSweep, type SweepChoice, type TrialValues } from "../../src/cli/sweep/trials.ts";
import { TRAIN_OPTIONS } from "../../src/cli/tables/train.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const CHOICE: SweepChoice = { search: undefined, trials: undefined, seed: 3, grid: [] };
const read = (file: TrialValues, choice: Partial<SweepChoice> = {}) =>
  readSweep(file, { ...CHOICE, ...choice }, TRAIN_OPTIONS);

describe("trials", () => {
  test("a grid is every combination, of a file and of words, by any name of an option", () => {
    const { common, trials } = read(
      { model: "m", sweep: { iters: [5, 10] } },
      { grid: ["learning-rate=1e-4,1e-3"] },
    );
    expect(common).toEqual({ model: "m" });
    expect(trials).toEqual([
      { max_steps: 5, learning_rate: "1e-4" },
      { max_steps: 5, learning_rate: "1e-3" },
      { max_steps: 10, learning_rate: "1e-4" },
      { max_steps: 10, learning_rate: "1e-3" },
    ]);
  });

  test("a random search draws within ranges, the same with the same seed, whatever else varies", () => {
    const space = {
      learning_rate: { min: 1e-5, max: 1e-3, log: true },
      gradient_accumulation_steps: { min: 2, max: 4, integer: true },
    };
    const { trials } = read({ sweep: space, trials: 200 });
    expect(trials).toHaveLength(200);
    expect(new Set(trials.map(({ gradient_accumulation_steps }) => gradient_accumulation_steps))).toEqual(
      new Set([2, 3, 4]),
    );
    const rates = trials.map(({ learning_rate }) => Number(learning_rate));
    expect([Math.min(...rates) >= 1e-5, Math.max(...rates) <= 1e-3]).toEqual([true, true]);
    expect(rates.filter((rate) => rate < 1e-4).length).toBeGreaterThan(70); // half of them, by the logarithm
    const more = read({ sweep: { ...space, seed: [1, 2] }, search: "random" }, { trials: 5 });
    expect(more.trials.map(({ learning_rate }) => learning_rate)).toEqual(
      trials.slice(0, 5).map(({ learning_rate }) => learning_rate),
    );
  });

  test.each<[string, TrialValues, Partial<SweepChoice>, RegExp]>([
    ["nothing varies", {}, {}, /nothing varies[\s\S]*--grid learning_rate/],
    ["names", { sweep: { lerning_rate: [1] } }, {}, /lerning_rate is unknown; did you mean learning_rate/],
    [
      "values",
      { sweep: { gradient_accumulation_steps: [4], learning_rate: [0, "x"] } },
      {},
      /learning_rate is 0[\s\S]*learning_rate is "x"/,
    ],
    [
      "a range in a grid",
      { sweep: { learning_rate: { min: 1, max: 2 } } },
      {},
      /is a range[\s\S]*search: random/,
    ],
    [
      "a bad range",
      { sweep: { learning_rate: { min: 0, max: 2, log: true } }, trials: 2 },
      {},
      /write \{ min: 1e-5/,
    ],
    ["no number of trials", { sweep: { learning_rate: [1] }, search: "random" }, {}, /say how many/],
    [
      "too many",
      { sweep: { learning_rate: Array(200).fill(1), seed: Array(200).fill(1) } },
      {},
      /40000 trials/,
    ],
    ["what is the sweep's own", { sweep: { output_dir: ["a"] } }, {}, /output_dir is the sweep's own/],
    ["no values", {}, { grid: ["seed="] }, /has no values/],
  ])("%s", (_, file, choice, message) => {
    expect(() => read(file, choice)).toThrow(message);
  });
});

describe("results", () => {
  const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-sweep-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const about = { status: "finished", model: "m", task: "causal-lm", started: "2026-01-01" };
  const rest = { settings: {}, given: [], data: [], versions: {}, resumed: [] };
  for (const [index, losses] of [
    [3, 2],
    [1.5, 1.8],
  ].entries()) {
    mkdirSync(join(folder, `trial-${index}`));
    const entries = losses.flatMap((loss, i) => [
      { step: 2 * i + 1, epoch: 0, loss: loss + 1 },
      { step: 2 * i + 1, epoch: 0, eval_loss: loss, eval_accuracy: 1 / loss },
    ]);
    const write = (name: string, text: string) => writeFileSync(join(folder, `trial-${index}`, name), text);
    write("metrics.jsonl", entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    write("run.json", JSON.stringify({ version: 1, ...about, ...rest }));
  }
  const trials = [{ learning_rate: 1e-4 }, { learning_rate: 1e-2 }, { learning_rate: 1 }];

  test("the best evaluation of each counts, and what has not begun waits", () => {
    const results = readResults(folder, trials, "loss");
    expect(results.map(({ status, steps, value, at }) => [status, steps, value, at])).toEqual([
      ["finished", 3, 2, 3],
      ["finished", 3, 1.5, 1],
      ["waiting", 0, undefined, undefined],
    ]);
    expect(bestTrial(results, "loss")?.index).toBe(1);
    expect(resultLines(results, "loss")[2]).toMatch(/^\* {2}1 +0\.01 +finished +3 +1\.5000 +1$/);
    expect(bestTrial(readResults(folder, trials, "accuracy"), "accuracy")?.value).toBeCloseTo(1 / 1.5);
  });

  test("the page has a plot for what varies in numbers, and loads nothing", () => {
    const page = sweepPage(readResults(folder, trials, "loss"), "loss", "Sweep <of> rates");
    const [charts = "[]"] = /(?<=id="charts">).*?(?=<\/script>)/s.exec(page) ?? [];
    expect(JSON.parse(charts)).toEqual([
      {
        title: "loss over learning_rate",
        along: { label: "learning_rate", isLog: true },
        series: [
          { label: "loss", x: [0.0001, 0.01], y: [2, null], colour: 0, look: "points" },
          { label: "the best", x: [0.0001, 0.01], y: [null, 1.5], colour: 1, look: "points" },
          { label: "trial", x: [0.0001, 0.01], y: [0, 1], colour: 0, look: "told" },
        ],
      },
    ]);
    expect(page).toContain("Sweep &lt;of&gt; rates");
    expect(page).not.toMatch(/<(?:img|link|iframe|base|form)\b|\bsrc=["']|url\(|@import/i);
  });
});

test("an indexed job runs its trial alone; the list tells of all", async () => {
  const data = cli.write("rows.jsonl", [
    { text: "Tom put 3 keys in the barn." },
    { text: "Ben found 4 apples." },
  ]);
  const file = cli.write("sweep.yaml", [
    `model: ${BUNDLED_MODEL}`,
    `data: ${data}`,
    "max_steps: 2",
    "sweep: { lora_r: [2, 4] }",
  ]);
  const words = ["sweep", file, "--output-dir", cli.path("out")];
  const one = await cli.run([...words, "--", "--logging-steps", "1"], { env: { JOB_COMPLETION_INDEX: "1" } });
  expect(one.code, one.stderr).toBe(0);
  expect(one.stdout).toMatch(/Trial 1 of 2: lora_r 4[\s\S]*Iter 2: Train loss[\s\S]*\* {2}1 +4 +finished +2/);
  expect(readdirSync(cli.path("out")).sort()).toEqual(["curves.html", "sweep.html", "sweep.json", "trial-1"]);
  const listed = await cli.run([...words, "--list"]);
  expect(listed.stdout).toMatch(/ 0 +2 +waiting[\s\S]*\* {2}1 +4 +finished/);
  const other = await cli.run([...words, "--grid", "lora_r=8"]);
  expect(other.stderr).toMatch(/has other trials than these/);
  expect(other.code).toBe(1);
  const wrong = await cli.run([...words, "--grid", "lora_rank=8"]);
  expect(wrong.stderr).toMatch(/lora_rank is unknown/);
  expect(wrong.code).toBe(2); // as for the options of every command
});
