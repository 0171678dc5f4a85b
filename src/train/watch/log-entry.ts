import { parseJson } from "../../io/json/parse.ts";
import { isObject } from "../../util/json.ts";
import type { Traffic } from "../peers.ts";
import type { StepMetrics } from "../trainer.ts";
import type { EvaluationMetrics } from "./observer.ts";
import type { RunWarning } from "./spikes.ts";

/** What stands in a line of `metrics.jsonl`; null is a number that was not finite. */
export type LogValue = number | string | boolean | null | readonly string[];

/**
 * A line of `metrics.jsonl`: what a step or an evaluation measured, by transformers' and TRL's names (`loss`, `grad_norm`,
 * `eval_loss`, `rewards/chosen`), and mlx-lm's `peak_memory`, in GB.
 */
export interface LogEntry {
  /** From 1; an evaluation before the first step has 0. */
  readonly step: number;
  /** Passes over the data so far, with the part of the last one. */
  readonly epoch: number;
  readonly [name: string]: LogValue;
}

/** The entry of an optimiser step. `step_time` is in seconds; `num_tokens` counts those so far. */
export function stepEntry(metrics: StepMetrics, warnings: readonly RunWarning[] = []): LogEntry {
  const { step, passes, loss, gradNorm, learningRate, trainedTokens, tokens, seconds, peakBytes } = metrics;
  const { skipped, fault, lossScale, traffic, metrics: others = {} } = metrics;
  return {
    step,
    epoch: passes,
    loss,
    grad_norm: gradNorm,
    learning_rate: learningRate,
    num_tokens: trainedTokens,
    tokens_per_second: tokens / seconds,
    step_time: seconds,
    peak_memory: peakBytes / 1e9,
    ...(lossScale !== undefined && { loss_scale: lossScale }),
    ...others,
    ...(traffic && trafficEntry(traffic, seconds)),
    ...(skipped && { skipped, fault: fault ?? "" }),
    ...(warnings.length > 0 && { warnings: warnings.map(({ message }) => message), rows: metrics.rows }),
  };
}

/**
 * What a step of several processes has sent from this one, in bytes, and which share of its time it waited for the others
 * and the wire; the rest is how well it scales, for alone it would have spent no less.
 */
function trafficEntry({ bytes, seconds }: Traffic, stepSeconds: number) {
  const share = Math.min(1, seconds / stepSeconds);
  return { communication_bytes: bytes, communication_share: share, scaling_efficiency: 1 - share };
}

/** The entry of an evaluation; `eval_runtime` is in seconds. */
export function evaluationEntry({
  step,
  passes,
  loss,
  seconds,
  metrics = {},
  summary,
}: EvaluationMetrics): LogEntry {
  const others = Object.entries(metrics).map(([name, value]) => [`eval_${name}`, value]);
  const words = summary === undefined ? {} : { eval_summary: summary };
  return {
    step,
    epoch: passes,
    eval_loss: loss,
    ...Object.fromEntries(others),
    ...words,
    eval_runtime: seconds,
  };
}

/** An entry as a line of `metrics.jsonl`, with its end. */
export function entryLine(entry: LogEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/** What a file of entries holds. */
export interface ReadEntries {
  /** In the order of the file. */
  readonly entries: readonly LogEntry[];
  /** Lines that hold none, from 1, such as one that was cut off. */
  readonly broken: readonly number[];
}

/** Reads `metrics.jsonl`; what is no entry is counted, and left out. */
export function readEntries(text: string): ReadEntries {
  const entries: LogEntry[] = [];
  const broken: number[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const entry = readEntry(line);
    if (entry) entries.push(entry);
    else broken.push(i + 1);
  }
  return { entries, broken };
}

function readEntry(line: string): LogEntry | undefined {
  let value: unknown;
  try {
    value = parseJson(line, "line");
  } catch {
    return undefined;
  }
  if (!isObject(value) || !Number.isSafeInteger(value.step) || typeof value.epoch !== "number")
    return undefined;
  return Object.values(value).every(isLogValue) ? (value as LogEntry) : undefined;
}

const isLogValue = (value: unknown) =>
  value === null ||
  ["number", "string", "boolean"].includes(typeof value) ||
  (Array.isArray(value) && value.every((item) => typeof item === "string"));

/** What a run that goes on behind a step keeps of the entries of the one before. */
export function entriesUntil(entries: readonly LogEntry[], step: number): LogEntry[] {
  return entries.filter((entry) => entry.step <= step);
}
