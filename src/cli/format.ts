// What the command line prints, as text. The lines of a training run are those of mlx-lm up to 0.31, which scripts parse.

import type { RowCounts } from "../data/inspect/report.ts";
import type { PackingReport } from "../data/packing.ts";
import type { TokenizeReport } from "../data/tokenize/tokenize-report.ts";
import type { DeviceInfo } from "../gpu/device.ts";
import type { OffloadedLayers } from "../load/offload.ts";
import { LORA_LEARNING_RATE, SWEPT_BATCH, sweptLearningRate } from "../train/learning-rate.ts";
import type { StepMetrics } from "../train/trainer.ts";
import { largest } from "../util/arrays.ts";
import { formatBytes } from "../util/bytes.ts";
import { count } from "../util/count.ts";
import { describeMetrics } from "./format-measures.ts";

export { count };

/** mlx-lm's line on the steps since the last one: means over them, and their total time. */
export function formatTrainLine(window: readonly StepMetrics[]): string {
  const last = window.at(-1) as StepMetrics;
  const seconds = sum(window, "seconds");
  const loss = sum(window, "loss") / window.length;
  const measured = describeMetrics(meanMetrics(window));
  return [
    `Iter ${last.step}: Train loss ${loss.toFixed(3)}`,
    `Learning Rate ${formatExponent(last.learningRate)}`,
    `It/sec ${(window.length / seconds).toFixed(3)}`,
    `Tokens/sec ${(sum(window, "terms") / seconds).toFixed(3)}`,
    `Trained Tokens ${last.trainedTerms}`,
    `Peak mem ${(last.peakBytes / 1e9).toFixed(3)} GB`,
    ...(measured === "" ? [] : [measured]),
  ].join(", ");
}

/** Means of what steps measure beside their loss, over those that have it. */
function meanMetrics(window: readonly StepMetrics[]): Record<string, number> {
  const names = new Set(window.flatMap(({ metrics = {} }) => Object.keys(metrics)));
  return Object.fromEntries(
    Array.from(names, (name) => {
      const values = window.flatMap(({ metrics }) => metrics?.[name] ?? []);
      return [name, values.reduce((total, value) => total + value, 0) / values.length];
    }),
  );
}

/** mlx-lm's line on an evaluation. */
export function formatValLine(step: number, loss: number, seconds: number): string {
  return `Iter ${step}: Val loss ${loss.toFixed(3)}, Val took ${seconds.toFixed(3)}s`;
}

/** mlx-lm's last line. */
export function formatTestLine({ loss, perplexity }: { loss: number; perplexity: number }): string {
  return `Test loss ${loss.toFixed(3)}, Test ppl ${perplexity.toFixed(3)}.`;
}

/** C's `%.3e`: the exponent has two digits at least. */
export function formatExponent(x: number): string {
  return x.toExponential(3).replace(/e([+-])(\d)$/, "e$10$2");
}

/** Which device runs; software is never passed off as a GPU. */
export function describeDevice({ name, software }: DeviceInfo): string {
  return `Device: ${name}${software ? " (software: no GPU is used, so this is slow)" : ""}`;
}

/**
 * Which layers stay on the host, and what that costs.
 * @param speed bytes a second that come from there to the device; undefined where nobody measured
 */
export function describeOffload({ layers, bytes }: OffloadedLayers, speed: number | undefined): string {
  const cost =
    speed === undefined
      ? "come to the device in every pass"
      : `come to the device at ${formatBytes(speed)}/s (measured), in ${shortTime(bytes / speed)} for a pass`;
  const those = layers === 1 ? "1 layer" : `${count(layers)} layers`;
  return `Offload: ${those} (${formatBytes(bytes)}) kept in the host's memory: they ${cost}; a training step has two passes for each micro-batch, a token one`;
}

const shortTime = (seconds: number) =>
  seconds < 1 ? `${Math.ceil(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;

/** How many of all parameters are trained; like PEFT, the adapter's own count as the model's. */
export function describeParameters(trainable: number, base: number): string {
  const all = base + trainable;
  return `Trainable parameters: ${((100 * trainable) / all).toFixed(3)}% (${count(trainable)} / ${count(all)})`;
}

/** Which learning rate is taken where none is given, and the best that was measured for a model of the hub. */
export function describeLearningRate(rate: number, repository: string | undefined): string {
  const best = rate === LORA_LEARNING_RATE ? sweptLearningRate(repository) : undefined;
  const measured =
    best === undefined
      ? ""
      : `; the best measured for ${repository} is ${best.toExponential()}, at ${SWEPT_BATCH} rows a step`;
  return `Learning rate: ${rate.toExponential()}, ten times what is usual without LoRA (--learning-rate gives another)${measured}`;
}

/** What became of the rows of a file: a line on those that stay, and one on each reason to cut or leave out others. */
export function describeData(
  label: string,
  report: RowCounts & Pick<TokenizeReport, "labelTokens"> & Partial<Pick<TokenizeReport, "cutAtStart">>,
  maxLength: number,
): string[] {
  const { rows, truncated, dropped, droppedNoLabels, droppedEmpty, longest, tokens, labelTokens } = report;
  const least = report.longestIsLeast ? "at least " : "";
  const kept = rows - dropped - droppedNoLabels - droppedEmpty;
  const of = kept === rows ? "" : ` of ${count(rows)}`;
  const lines = [
    `${label}: ${count(kept)}${of} rows, ${count(tokens)} tokens, ${count(labelTokens)} of them trained; ` +
      `the longest row has ${least}${count(longest)}`,
  ];
  const mention = (rows: number, what: string) => {
    if (rows > 0) lines.push(`  ${count(rows)} ${rows === 1 ? "row" : "rows"} ${what}`);
  };
  mention(truncated, `cut to max_length ${maxLength}`);
  mention(report.cutAtStart ?? 0, `cut to max_length ${maxLength} at the beginning`);
  mention(dropped, `left out: longer than max_length ${maxLength}`);
  mention(
    droppedNoLabels,
    "left out: nothing to learn (the prompt fills max_length, or the completion is empty)",
  );
  mention(droppedEmpty, "left out: the text is empty");
  return lines;
}

/** The same of rows of tasks that are no language modelling. */
export function describeItems(
  label: string,
  { rows, truncated, dropped, droppedEmpty }: RowCounts,
  maxLength: number,
): string[] {
  const kept = rows - dropped - droppedEmpty;
  const of = kept === rows ? "" : ` of ${count(rows)}`;
  return [
    `${label}: ${count(kept)}${of} rows`,
    ...(droppedEmpty > 0 ? [`  ${inRows(droppedEmpty)} left out: the text is empty`] : []),
    ...(dropped > 0 ? [`  ${inRows(dropped)} left out: longer than max_length ${maxLength}`] : []),
    ...(truncated > 0 ? [`  ${inRows(truncated)} cut to max_length ${maxLength}`] : []),
  ];
}

const inRows = (rows: number) => `${count(rows)} ${rows === 1 ? "row" : "rows"}`;

/** How full packed sequences are. */
export function describePacking({ rows, sequences, maxLength, fill }: PackingReport): string {
  const share = (100 * fill).toFixed(1);
  return `packed ${count(rows)} rows into ${count(sequences)} sequences of max_length ${maxLength}: fill ${share} %`;
}

function sum(window: readonly StepMetrics[], field: "seconds" | "loss" | "terms"): number {
  return window.reduce((total, metrics) => total + metrics[field], 0);
}

const DECIMAL = ["B", "kB", "MB", "GB", "TB"];

/** Bytes as disks and the hub count them: `540.1 MB`. */
export function byteCount(bytes: number): string {
  const power = Math.min(Math.max(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 0), DECIMAL.length - 1);
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(1)} ${DECIMAL[power]}`;
}

const SPANS: readonly [milliseconds: number, name: string][] = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1000, "second"],
];

/** A span of time in its largest whole unit: `2 days`. */
export function timeSpan(milliseconds: number): string {
  const [unit, name] = SPANS.find(([unit]) => milliseconds >= unit) ?? [1000, "second"];
  const units = Math.max(0, Math.floor(milliseconds / unit));
  return `${units} ${name}${units === 1 ? "" : "s"}`;
}

/** Rows of cells as lines, each column as wide as its widest cell. */
export function alignedTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, j) => largest(rows.map((row) => row[j]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, j) => cell.padEnd(widths[j] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
