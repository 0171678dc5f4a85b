import type { PreferenceRow } from "../data/rows/preferences.ts";
import type { PreferenceTask } from "../data/task-names.ts";
import type { LoadedModel } from "../load/model.ts";
import type { MeanLoss } from "../train/evaluate.ts";
import type { Measurable } from "../train/plan/measurable.ts";
import { requireTaskModel } from "../train/tasks/open-task.ts";
import {
  type ItemOf,
  judgedOf,
  pairOf,
  preferenceRows,
  rewardPairOf,
} from "../train/tasks/preference-items.ts";
import { PREFERENCE_KINDS } from "../train/tasks/preference-tasks.ts";
import type { TaskItem, TaskKind, TaskModel } from "../train/tasks/task-kind.ts";
import type { TaskOptions } from "../train/tasks/tasks.ts";
import { describeMetrics } from "./format-measures.ts";
import { preparePreferences, streamPreferences } from "./preference-rows.ts";
import { preferenceOptions } from "./preference-settings.ts";
import type { DataSettings } from "./sequences.ts";
import { tables } from "./tables-of-rows.ts";
import { type TaskCommand, type TaskEvaluation, type TaskParts, taskCommand } from "./task.ts";

/** The tasks that learn which answers are better. */
export const PREFERENCE_COMMANDS: Readonly<Record<PreferenceTask, TaskCommand>> = {
  dpo: comparing("dpo", "causal-lm", pairOf),
  orpo: comparing("orpo", "causal-lm", pairOf),
  cpo: comparing("cpo", "causal-lm", pairOf),
  simpo: comparing("simpo", "causal-lm", pairOf),
  kto: comparing("kto", "causal-lm", judgedOf),
  reward: comparing("reward", "sequence-classification", rewardPairOf),
};

/** Rows as long as rows can be, all of whose tokens are the answers': what a plan measures of a task. */
export function preferenceExamples<T extends PreferenceTask>(
  task: T,
  model: LoadedModel,
  settings: DataSettings,
  count: number,
  length: number,
): Measurable {
  const kind: Required<TaskKind<T>> = PREFERENCE_KINDS[task];
  return kind.examples(requireTaskModel("plan", model, task), optionsOf(task, settings), count, length);
}

const optionsOf = <T extends PreferenceTask>(task: T, settings: DataSettings) =>
  preferenceOptions(task, settings) as TaskOptions<T>;

/** A task that compares what a model says of answers. */
function comparing<T extends PreferenceTask>(
  task: T,
  head: TaskModel<T>["task"],
  itemOf: ItemOf<TaskItem<T>>,
): TaskCommand {
  const kind: Required<TaskKind<T>> = PREFERENCE_KINDS[task];
  const objective = (model: TaskModel<T>, settings: DataSettings) =>
    kind.objective(model, optionsOf(task, settings), boundsOf(settings));
  const parts: TaskParts<TaskModel<T>["task"], PreferenceRow, TaskItem<T>> = {
    task: head,
    ...tables<PreferenceRow>({ reader: () => preferenceRows(task) }),
    prepare: (model, file, settings, note) => preparePreferences(task, model, file, settings, note, itemOf),
    stream: (model, stream, settings, note) => streamPreferences(task, model, stream, settings, note, itemOf),
    objective,
    async ready(model, items, batchSize, settings, note) {
      if (!settings.precompute_ref_log_probs) return items;
      note(`Asking the reference for its scores of ${items.length} rows`);
      const options = { ...optionsOf(task, settings), precomputeRefLogProbs: true };
      return kind.ready(objective(model, settings), items, options, batchSize);
    },
    async evaluate(model, items, how, settings) {
      const judged = await kind.evaluate(model, items, optionsOf(task, settings), how, boundsOf(settings));
      return describePreferences(judged, task === "kto" ? "answers" : "pairs");
    },
  };
  return taskCommand(parts);
}

const boundsOf = ({ max_length: maxLength }: DataSettings) => ({ maxLength });
/** An evaluation as lines. */
function describePreferences({ loss, terms, metrics = {} }: MeanLoss, what: string): TaskEvaluation {
  const lines = Object.entries(metrics).map(([name, value]) => `  ${name.padEnd(18)} ${value.toFixed(4)}`);
  return {
    loss,
    summary: describeMetrics(metrics),
    lines: [`Test loss ${loss.toFixed(4)} over ${terms} ${what}.`, ...lines],
    json: { loss, terms, ...metrics },
  };
}
