import { type BestPolicy, figureOf, type RunEvaluation } from "../train/best.ts";
import type { RunSamples } from "../train/watch/observer.ts";
import { fail } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { formatValLine } from "./format.ts";
import type { Reporter } from "./reporter.ts";
import type { BoundRows } from "./task.ts";
import type { Run, TrainSettings } from "./training-run.ts";
import type { RunWatch } from "./watch/watch-run.ts";
import { writingOf } from "./writing.ts";

/** What evaluations are compared by, without the `eval_` that transformers puts before it. */
const metricOf = ({ metric_for_best_model }: TrainSettings): string =>
  metric_for_best_model.replace(/^eval_/, "");

/** Which evaluation is the best, and when the run ends that gets no better. */
export function bestOptions(settings: TrainSettings): BestPolicy {
  const { greater_is_better, early_stopping_patience } = settings;
  return {
    metricForBestModel: metricOf(settings),
    ...(greater_is_better !== undefined && { greaterIsBetter: greater_is_better }),
    ...(early_stopping_patience !== undefined && { earlyStoppingPatience: early_stopping_patience }),
    earlyStoppingThreshold: settings.early_stopping_threshold,
  };
}

/** Settings that need rows to judge by. */
const JUDGED = [
  ...(["metric_for_best_model", "early_stopping_patience", "load_best_model_at_end"] as const),
  ...(["exact_match", "eval_samples", "sample_prompts"] as const),
];

/** @throws LoraError where there are no rows to judge by, and they are needed */
export function checkJudged(given: ReadonlySet<string>, isJudged: boolean): void {
  const [first] = JUDGED.filter((name) => given.has(name));
  if (isJudged || first === undefined) return;
  fail(
    first,
    "there are no rows to judge by",
    "give --eval-data, --valid-split, or a folder with valid.jsonl",
  );
}

/** Evaluates the model as it is before the first step. */
export async function validateFirst(run: Run, reporter: Reporter, watch: RunWatch): Promise<void> {
  const started = performance.now();
  const evaluation = await validate(run, 0, reporter, watch);
  const seconds = (performance.now() - started) / 1000;
  if (evaluation) await watch.observer.onEvaluation({ step: 0, passes: 0, seconds, ...evaluation });
}

/** Judges the model by the rows that it does not learn from, and has it write samples. */
export async function validate(
  { live: { valid }, settings, losses }: Run,
  step: number,
  reporter: Reporter,
  { observer }: RunWatch,
): Promise<RunEvaluation | undefined> {
  if (valid === undefined) return undefined;
  const started = performance.now();
  const { per_device_eval_batch_size: batchSize = settings.per_device_train_batch_size, val_batches = -1 } =
    settings;
  const most = val_batches > 0 ? val_batches * batchSize : undefined;
  const { loss, summary, json } = await valid.evaluate(batchSize, most);
  const metrics = measuresOf(json);
  const said = summary === "" ? [] : [summary];
  if (settings.exact_match || metricOf(settings) === "exact_match") {
    metrics.exact_match = await writingOf(valid.writing, "exact_match").exactMatch(batchSize, most);
    said.push(`exact match ${metrics.exact_match.toFixed(4)}`);
  }
  figureOf({ loss, metrics }, metricOf(settings)); // which is known before anything is learnt
  const samples = await samplesOf(valid, settings, batchSize);
  // Told once all of it is there: where the device is lost before, it comes again.
  const words = said.join(", ");
  losses.evaluation(step, loss, words);
  reporter.note([formatValLine(step, loss, (performance.now() - started) / 1000), ...said].join(", "));
  for (const { prompt, text } of samples) reporter.note(`  ${shown(prompt)} → ${JSON.stringify(text)}`);
  if (samples.length > 0) await observer.onSamples({ step, samples });
  return { loss, metrics, ...(words !== "" && { summary: words }) };
}

/** What the model writes for the prompts that are asked for. */
async function samplesOf(
  { writing }: BoundRows,
  { sample_prompts: prompts, eval_samples: rows, sample_max_new_tokens: maxNewTokens }: TrainSettings,
  batchSize: number,
): Promise<RunSamples["samples"]> {
  if (prompts.length + rows === 0) return [];
  const wanted = writingOf(writing, prompts.length > 0 ? "sample_prompts" : "eval_samples");
  return wanted.samples({ prompts, rows, maxNewTokens, batchSize });
}

/** Characters of a prompt that a line shows: its end, which is what is continued. */
const SHOWN = 60;
const shown = (prompt: string) =>
  JSON.stringify(prompt.length > SHOWN ? `…${prompt.slice(1 - SHOWN)}` : prompt);

/** Of what an evaluation came to the numbers beside the loss, which say how good the model is: no counts. */
function measuresOf(json: object): Record<string, number> {
  const measures = Object.entries(json).flatMap(([name, value]): [string, number][] => {
    if (name === "entities" && isObject(value)) return [["entity_f1", Number(value.f1)]];
    return typeof value === "number" && !COUNTS.includes(name) ? [[name, value]] : [];
  });
  return Object.fromEntries(measures);
}

const COUNTS = ["loss", "terms", "tokens", "count"];
