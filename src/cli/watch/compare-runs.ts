import { escapeHtml } from "../../util/html.ts";
import type { JsonObject } from "../../util/json.ts";
import { alignedTable, count } from "../format.ts";
import { chartsPage } from "./report/charts-page.ts";
import { comparisonCharts } from "./report/run-charts.ts";
import type { FoundRun } from "./run-folders.ts";

/** What a run came to, for tables. */
export interface RunSummary {
  readonly folder: string;
  readonly status: string;
  readonly model: string | undefined;
  readonly steps: number;
  readonly totalSteps: number | undefined;
  /** Mean of the last ten steps. */
  readonly loss: number | undefined;
  /** The lowest of its evaluations. */
  readonly evalLoss: { readonly value: number; readonly step: number } | undefined;
  /** Mean over the run. */
  readonly tokensPerSecond: number | undefined;
  /** Time of its steps. */
  readonly seconds: number;
  readonly started: string | undefined;
  readonly settings: JsonObject;
  readonly remarks: readonly string[];
}

const LAST_STEPS = 10;

/** What a run came to. */
export function summaryOf({ folder, status, about, figures, remarks }: FoundRun): RunSummary {
  const losses = figures.get("loss");
  const last = losses.values.slice(-LAST_STEPS).filter((value) => value !== null);
  const seconds = sum(figures.get("step_time").values);
  const tokens = figures.last("num_tokens");
  return {
    ...{ folder, status, model: about?.model, remarks },
    steps: losses.steps.at(-1) ?? 0,
    totalSteps: about?.totalSteps,
    loss: last.length > 0 ? sum(last) / last.length : undefined,
    evalLoss: figures.lowest("eval_loss"),
    tokensPerSecond: tokens !== undefined && seconds > 0 ? tokens / seconds : undefined,
    seconds,
    started: about?.started,
    settings: about?.settings ?? {},
  };
}

const sum = (values: readonly (number | null)[]) => values.reduce<number>((total, x) => total + (x ?? 0), 0);

/** Settings that say where a run lies, not what it is. */
const OF_PLACE = ["output_dir", "report_to", "resume", "force"];

/** A setting that differs between runs. */
export interface Difference {
  readonly name: string;
  /** Of each run, in their order; undefined where it is not known. */
  readonly values: readonly unknown[];
}

/** The settings in which runs differ. */
export function differencesOf(runs: readonly RunSummary[]): Difference[] {
  const names = new Set(runs.flatMap(({ settings }) => Object.keys(settings)));
  const all = [...names].map((name) => ({ name, values: runs.map(({ settings }) => settings[name]) }));
  return all.filter(({ name, values }) => {
    return !OF_PLACE.includes(name) && new Set(values.map((value) => JSON.stringify(value))).size > 1;
  });
}

const HEAD = ["run", "status", "steps", "loss", "eval loss", "at step", "tokens/s", "time"];

/** Runs as lines: a table, and what differs between their settings. */
export function describeRuns(runs: readonly RunSummary[]): string[] {
  const differences = differencesOf(runs);
  const remarks = runs.flatMap(({ folder, remarks }) => remarks.map((remark) => `${folder}: ${remark}`));
  return [
    ...alignedTable([HEAD, ...runs.map(cellsOf)]),
    ...(remarks.length > 0 ? ["", ...remarks] : []),
    ...(differences.length > 0
      ? ["", "Settings that differ", ...alignedTable(differenceRows(runs, differences))]
      : []),
  ];
}

/** A row for each setting, or for each run where there are more of those. */
function differenceRows(runs: readonly RunSummary[], differences: readonly Difference[]): string[][] {
  const bySetting = differences.map(({ name, values }) => [name, ...values.map(shownValue)]);
  const rows = [["setting", ...runs.map(({ folder }) => folder)], ...bySetting];
  if (runs.length <= differences.length) return rows;
  const byRun = runs.map((_, i) => rows.map((row) => row[i + 1] ?? ""));
  return [["run", ...differences.map(({ name }) => name)], ...byRun];
}

function cellsOf(run: RunSummary): string[] {
  const { folder, status, steps, totalSteps, loss, evalLoss, tokensPerSecond, seconds } = run;
  return [
    ...[folder, status, totalSteps === undefined ? `${steps}` : `${steps}/${totalSteps}`],
    ...[loss?.toFixed(3) ?? "–", evalLoss?.value.toFixed(3) ?? "–", evalLoss ? `${evalLoss.step}` : "–"],
    ...[tokensPerSecond === undefined ? "–" : count(Math.round(tokensPerSecond)), describeTime(seconds)],
  ];
}

/** `2 h 5 min`, `3 min 20 s`, `12 s`. */
function describeTime(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

const shownValue = (value: unknown) => {
  if (value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
};

/** The curves of runs side by side, their table, and what differs between their settings. @throws as {@link chartsPage} does */
export function comparisonPage(runs: readonly FoundRun[]): string {
  const summaries = runs.map(summaryOf);
  const differences = differencesOf(summaries);
  const rowOf = (tag: string) => (cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
    `<div class="table"><table>${rowOf("th")(head)}${rows.map(rowOf("td")).join("")}</table></div>`;
  const remarks = summaries.flatMap(({ folder, remarks }) => remarks.map((remark) => `${folder}: ${remark}`));
  const differing = differences.map(({ name, values }) => [name, ...values.map(shownValue)]);
  const names = summaries.map(({ folder }) => folder);
  const settings = `<section><h2>Settings that differ</h2>${table(["setting", ...names], differing)}</section>`;
  return chartsPage({
    title: `${runs.length} runs`,
    header: `<h1>${runs.length} ${runs.length === 1 ? "run" : "runs"}</h1>
<p>${escapeHtml([...new Set(summaries.flatMap(({ model }) => model ?? []))].join(", "))}</p>`,
    above: `<section>${table(HEAD, summaries.map(cellsOf))}</section>
${remarks.map((remark) => `<p class="help">${escapeHtml(remark)}</p>`).join("\n")}`,
    charts: comparisonCharts(runs.map(({ folder, figures }) => ({ name: folder, figures }))),
    below: differing.length > 0 ? settings : "",
  });
}
