import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { sweepPage } from "../../../src/cli/sweep/page.ts";
import { FigureTable, smoothed, speeds, thinned } from "../../../src/cli/watch/report/figures.ts";
import { LOOKS_FILE, readLooks } from "../../../src/cli/watch/report/looks.ts";
import { REPORT_FILE, ReportFile } from "../../../src/cli/watch/report/report-file.ts";
import { reportPage } from "../../../src/cli/watch/report/report-page.ts";
import { comparisonCharts, runCharts } from "../../../src/cli/watch/report/run-charts.ts";
import type { RunAbout } from "../../../src/cli/watch/run-file.ts";
import { evaluationEntry, stepEntry } from "../../../src/train/watch/log-entry.ts";
import { hasBrowser, look, openBrowser, unbalanced } from "../../support/page.ts";
import { stepMetrics } from "../../support/step-metrics.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const EVIL = `<script>alert(1)</script>"'&`;
const ABOUT: RunAbout = {
  ...{
    status: "running",
    model: EVIL,
    task: "causal-lm",
    started: "2026-11-30T04:32:22.000Z",
    totalSteps: 40,
  },
  ...{ trainable: 10, parameters: 1000, data: [EVIL], resumed: [20], versions: { device: "a device" } },
  settings: { learning_rate: 1e-3, data: [EVIL], seed: 0 },
  given: ["learning_rate", "data"],
};

function figuresOf(steps: number): FigureTable {
  const figures = new FigureTable();
  for (let step = 1; step <= steps; step++) {
    figures.add(stepEntry(stepMetrics(step, { loss: 4 / step, metrics: { "rewards/chosen": step } })));
    if (step % 10 === 0)
      figures.add(evaluationEntry({ step, passes: 1, loss: 3, seconds: 1, metrics: { accuracy: 0.5 } }));
  }
  return figures;
}

const warned = stepEntry(stepMetrics(7), [{ step: 7, kind: "loss-spike", message: `step 7: ${EVIL}` }]);
const page = () =>
  reportPage({
    ...{ folder: "/runs/one", about: ABOUT, figures: figuresOf(40), strange: [warned] },
    norms: [10, 20].map((step) => ({ step, since: step - 10, norms: { "layers.0": 1, "layers.1": 2 } })),
    samples: [5, 10].map((step) => ({ step, samples: [{ prompt: EVIL, text: `after ${step}` }] })),
  });

test("a report tells of its run, and nothing of the run is markup", () => {
  const html = page();
  expect(unbalanced(html)).toEqual([]);
  expect(html).toContain("<dt>running</dt><dd><b>40</b><span>of 40 steps</span>");
  expect(html).toContain("resumed behind step 20");
  expect(html).toContain('<meta http-equiv="refresh" content="30">');
  expect(html).toMatch(/<h2>Samples after step 10<\/h2>[\s\S]*after 10[\s\S]*<summary>after step 5</);
  expect(html).toContain("<tr><th>learning_rate</th><td>0.001</td></tr>");
  expect(html.match(/<rect /g)).toHaveLength(4);
  expect(html).not.toContain("<script>alert");
  expect(html).not.toMatch(/<(?:img|link|iframe|base|form)\b|\bsrc=["']|url\(|@import/i);
  expect(html).toMatch(/default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]+'"/);
});

test("charts: what belongs together stands together, runs side by side", () => {
  const titles = runCharts(figuresOf(40)).map(({ title, series }) => [
    title,
    series.map(({ label }) => label),
  ]);
  expect(titles).toEqual([
    ["Loss", ["loss", "loss, smoothed", "eval_loss"]],
    ["Gradient norm", ["grad_norm", "grad_norm, smoothed"]],
    ["Learning rate", ["learning_rate"]],
    ["Tokens a second", ["tokens_per_second"]],
    ["Peak GPU memory, GB", ["peak_memory"]],
    ["rewards", ["rewards/chosen", "rewards/chosen, smoothed"]],
    ["accuracy", ["eval_accuracy"]],
  ]);
  const runs = [20, 40].map((steps) => ({ name: `${steps} steps`, figures: figuresOf(steps) }));
  const [loss] = comparisonCharts(runs);
  expect(loss?.series.map(({ label }) => label)).toEqual(["20 steps", "40 steps, smoothed"]);
  expect(comparisonCharts([{ name: "none", figures: new FigureTable() }])).toEqual([]);
});

test("long curves are thinned, and keep their spikes; speeds are means of some steps", () => {
  const values = Array.from({ length: 100_000 }, (_, i) =>
    i === 77_777 ? 50 : i === 5 ? null : Math.sin(i),
  );
  const { steps, values: kept } = thinned({ steps: values.map((_, i) => i), values });
  expect(steps.length).toBeLessThanOrEqual(1200);
  expect(kept).toContain(50);
  expect([...steps].sort((a, b) => a - b)).toEqual(steps);
  expect(smoothed({ steps: [1], values: [1] })).toBeUndefined();
  const flat = { steps: values.map((_, i) => i), values: values.map((_, i) => (i === 0 ? null : 2)) };
  expect(smoothed(flat)?.values.at(-1)).toBeCloseTo(2);
  const burst = { steps: [1, 2], values: [10, 1000] };
  expect(speeds(burst, { steps: [1, 2], values: [1, 0.01] }).values[1]).toBeCloseTo(20 / 1.01);
});

test("a report that cannot be written is told once, and written when it can be", () => {
  const told: string[] = [];
  const place = join(folder, REPORT_FILE);
  mkdirSync(join(place, "full"), { recursive: true });
  const report = new ReportFile(folder, (line) => told.push(line));
  report.about(ABOUT);
  for (const step of [1, 2]) report.add(stepEntry(stepMetrics(step)));
  report.about({ ...ABOUT, status: "interrupted" });
  expect(told).toEqual([
    expect.stringMatching(/^warning: report\.html is not written, the training goes on: /),
  ]);
  rmdirSync(join(place, "full"));
  rmdirSync(place);
  report.about({ ...ABOUT, status: "finished" });
  expect(readFileSync(place, "utf8")).toContain("<dt>finished</dt><dd><b>2</b>");
  expect(readFileSync(place, "utf8")).not.toContain("refresh");
  expect(readdirSync(folder)).toEqual([REPORT_FILE]);
});

test("the report of a run that goes on has the samples and the looks of before, until its checkpoint", () => {
  const [before, after] = ["before", "after"].map((name) => join(folder, name)) as [string, string];
  for (const place of [before, after]) mkdirSync(place);
  const norms = (step: number) => ({
    step,
    since: step - 10,
    norms: { "layers.0": step, "layers.1": 2 },
    changes: {},
  });
  const samples = (step: number) => ({ step, samples: [{ prompt: EVIL, text: `after ${step}` }] });
  const killed = new ReportFile(before, () => {});
  for (const step of [10, 20, 30]) {
    killed.norms(norms(step));
    killed.samples(samples(step));
  }
  writeFileSync(join(before, LOOKS_FILE), '{"step":1,"samples":[{"prompt":3}]}\n{"step":40,"norms":', {
    flag: "a",
  });
  const told: string[] = [];
  const resumed = new ReportFile(after, (line) => told.push(line));
  resumed.goOnFrom(20, [stepEntry(stepMetrics(20))], before);
  resumed.norms(norms(30));
  resumed.samples({ step: 30, samples: [{ prompt: "p", text: "another" }] });
  resumed.about({ ...ABOUT, status: "finished" });
  resumed.close();
  const html = readFileSync(join(after, REPORT_FILE), "utf8");
  expect(html).toMatch(/Samples after step 30[\s\S]*another[\s\S]*after step 20[\s\S]*after step 10</);
  expect(html).toContain("layers.0, steps 1 to 10: 10.0");
  expect(html.match(/<rect /g)).toHaveLength(6);
  expect(html).not.toContain("after 30");
  expect(told).toEqual([]);
  const steps = readLooks(readFileSync(join(after, LOOKS_FILE), "utf8")).map(({ step }) => step);
  expect(steps).toEqual([10, 10, 20, 20, 30, 30]); // for the run that goes on from this one
});

test.runIf(hasBrowser)(
  "in a browser its charts are drawn, it fits on a phone, and is dark where the reader's system is",
  async () => {
    const browser = await openBrowser();
    try {
      const html = page();
      const light = await look(browser, html, { width: 390, height: 844, colour: "light" });
      const dark = await look(browser, html, { width: 1100, height: 900, colour: "dark" });
      expect(light).toMatchObject({ fits: true, requests: [], said: [], canvases: 7 });
      const trials = [1e-4, 1e-3].map((learning_rate, index) => ({
        ...{ index, folder: "", status: "finished" as const, steps: 1, value: index, at: 1 },
        values: { learning_rate },
      }));
      const sweep = sweepPage(trials, "loss", "Sweep");
      const swept = await look(browser, sweep, { width: 390, height: 844, colour: "light" });
      expect(swept).toMatchObject({ fits: true, requests: [], said: [], canvases: 1 });
      expect(dark).toMatchObject({
        fits: true,
        requests: [],
        said: [],
        background: "rgb(20, 21, 23)",
        canvases: 7,
      });
    } finally {
      await browser.close();
    }
  },
  60_000,
);
