import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isGreaterBetter } from "../../train/best.ts";
import { type LogEntry, readEntries } from "../../train/watch/log-entry.ts";
import { largest } from "../../util/arrays.ts";
import { METRICS_FILE } from "../watch/metrics-file.ts";
import { type RunStatus, readRunFile } from "../watch/run-file.ts";
import type { TrialValues } from "./trials.ts";

/** What came of a trial. */
export interface TrialResult {
  readonly index: number;
  readonly folder: string;
  readonly values: TrialValues;
  readonly status: RunStatus | "waiting";
  /** Steps that it has finished. */
  readonly steps: number;
  /** The best value of the metric, behind a step; undefined where it was not measured. */
  readonly value?: number;
  /** Behind which step that was. */
  readonly at?: number;
}

/** The folder of a trial. */
export const trialFolder = (folder: string, index: number): string => join(folder, `trial-${index}`);

/** What came of each trial so far. */
export function readResults(folder: string, trials: readonly TrialValues[], metric: string): TrialResult[] {
  return trials.map((values, index) => {
    const place = trialFolder(folder, index);
    const about = readRunFile(place);
    const status = typeof about === "object" ? about.status : "waiting";
    const path = join(place, METRICS_FILE);
    const entries = existsSync(path) ? readEntries(readFileSync(path, "utf8")).entries : [];
    const steps = lastStep(entries);
    return { index, folder: place, values, status, steps, ...bestOf(entries, metric) };
  });
}

const lastStep = (entries: readonly LogEntry[]) =>
  entries.findLast(({ loss }) => loss !== undefined)?.step ?? 0;

/** Training losses of which the mean stands for the run where nothing is judged: a single step says little. */
const LOSSES = 20;

function bestOf(entries: readonly LogEntry[], metric: string): { value?: number; at?: number } {
  const name = `eval_${metric}`;
  const judged = entries.filter((entry) => entry.step > 0 && typeof entry[name] === "number");
  const better = betterOf(metric);
  const best = judged.reduce<LogEntry | undefined>(
    (best, entry) => (best && !better(Number(entry[name]), Number(best[name])) ? best : entry),
    undefined,
  );
  if (best) return { value: Number(best[name]), at: best.step };
  const losses = entries.filter(({ loss }) => typeof loss === "number").slice(-LOSSES);
  const last = losses.at(-1);
  if (metric !== "loss" || !last) return {};
  return { value: losses.reduce((sum, { loss }) => sum + Number(loss), 0) / losses.length, at: last.step };
}

/** Whether a value of a metric is better than another. */
export function betterOf(metric: string): (a: number, b: number) => boolean {
  return isGreaterBetter(metric) ? (a, b) => a > b : (a, b) => a < b;
}

/** The best of the trials; undefined where none was measured. */
export function bestTrial(results: readonly TrialResult[], metric: string): TrialResult | undefined {
  const better = betterOf(metric);
  return results
    .filter(({ value }) => value !== undefined)
    .reduce<TrialResult | undefined>(
      (best, trial) => (best && !better(trial.value as number, best.value as number) ? best : trial),
      undefined,
    );
}

/** One table of all, the best marked. */
export function resultLines(results: readonly TrialResult[], metric: string): string[] {
  const best = bestTrial(results, metric);
  const rows = tableOf(results, metric).map((row, i) => [
    i === 0 || results[i - 1] !== best ? " " : "*",
    ...row,
  ]);
  const widths = rows[0]?.map((_, column) => largest(rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** A head and a row for each trial, as text. */
export function tableOf(results: readonly TrialResult[], metric: string): string[][] {
  const names = [...new Set(results.flatMap(({ values }) => Object.keys(values)))];
  const head = ["trial", ...names, "status", "steps", metric, "at step"];
  const rows = results.map(({ index, values, status, steps, value, at }) => [
    `${index}`,
    ...names.map((name) => shownValue(values[name])),
    status,
    `${steps}`,
    value === undefined ? "–" : value.toPrecision(5),
    at === undefined ? "–" : `${at}`,
  ]);
  return [head, ...rows];
}

const shownValue = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value ?? null));
