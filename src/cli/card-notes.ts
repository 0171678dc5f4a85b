import { basename } from "node:path";
import type { RunNotes } from "../io/formats/run-state.ts";
import type { CardData, CardLoss, CardNotes } from "../load/adapter-card.ts";
import { isObject, type JsonObject } from "../util/json.ts";
import { TRAIN_OPTIONS } from "./tables/train.ts";
import type { BoundRows } from "./task.ts";

/** Told even where they are as they always are. */
const ALWAYS = [
  ...["learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps", "optim"],
  ...["lr_scheduler_type", "weight_decay", "max_length", "seed", "task"],
];

/** What the counts of a report are of, in words. */
const COUNTS: Readonly<Record<string, string>> = {
  rows: "rows",
  tokens: "tokens",
  labelTokens: "tokens learnt",
  truncated: "cut",
  cutAtStart: "cut at the beginning",
  dropped: "too long",
  droppedNoLabels: "with nothing to learn",
  droppedEmpty: "empty",
};

/** What is told of a training run. */
export interface TrainedRun {
  readonly train: BoundRows;
  readonly valid: BoundRows | undefined;
  readonly settings: { readonly data: readonly string[]; readonly eval_data: string | undefined };
  readonly notes: Pick<RunNotes, "settings" | "identity" | "versions">;
}

/** What the model card of a run's adapter tells: settings, data and losses. No path stands in it. */
export function cardNotes(
  { train, valid, settings, notes }: TrainedRun,
  losses: readonly CardLoss[],
): CardNotes {
  const names = settings.data.map((path) => basename(path)).join(", ");
  const judged = settings.eval_data === undefined ? names : basename(settings.eval_data);
  return {
    settings: shownSettings(notes.settings),
    data: [describeRows(names, train), ...(valid ? [describeRows(`to judge by: ${judged}`, valid)] : [])],
    losses,
    digests: notes.identity,
    versions: notes.versions,
  };
}

/** What differs from the defaults, and what everybody asks for; the adapter's own stand beside its type. */
function shownSettings(settings: JsonObject): Record<string, unknown> {
  const table: Readonly<Record<string, { readonly fallback: unknown }>> = TRAIN_OPTIONS;
  const isUsual = (name: string, value: unknown) =>
    JSON.stringify(value) === JSON.stringify(table[name]?.fallback);
  const isAdapters = (name: string) =>
    /^(lora|use_(rs|do)|target_|exclude_mod|layers_|layer_rep|rank_p|alpha_p)/.test(name);
  return Object.fromEntries(
    Object.entries(settings).filter(
      ([name, value]) =>
        value !== null && !isAdapters(name) && (ALWAYS.includes(name) || !isUsual(name, value)),
    ),
  );
}

function describeRows(name: string, { report, count }: BoundRows): CardData {
  const inside = isObject(report) && isObject(report.report) ? report.report : {};
  const found: JsonObject = { ...(count !== undefined && { rows: count }), ...inside };
  const counts = Object.entries(COUNTS).flatMap(([key, words]) => {
    const n = found[key];
    return typeof n === "number" && n > 0 ? [[words, n] as const] : [];
  });
  return { name, counts: Object.fromEntries(counts) };
}
