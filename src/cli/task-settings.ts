import { isPreferenceTask, type TrainingTask } from "../data/task-names.ts";
import { failAll } from "../util/fail.ts";
import { usesSetting } from "./preference-settings.ts";
import { flagName } from "./settings.ts";
import { PREFERENCE_OPTIONS } from "./tables/preferences.ts";

/** Whether the task's head has a score for each of some classes. */
export function hasLabels(task: TrainingTask): boolean {
  return task.endsWith("classification");
}

/** Whether rows may share a sequence: pairs are told apart from the others of their batch, which packing would change. */
function canPack(task: TrainingTask): boolean {
  return PACKED.has(task);
}

const PACKED: ReadonlySet<TrainingTask> = new Set([
  "causal-lm",
  "masked-lm",
  "sequence-classification",
  "token-classification",
]);

/** Settings that only some tasks have a use for. */
const USED_BY: Readonly<Record<string, (task: TrainingTask) => boolean>> = {
  completion_only_loss: (task) => task === "causal-lm",
  assistant_only_loss: (task) => task === "causal-lm",
  mask_history: (task) => task === "causal-lm",
  chat_template: (task) => task === "causal-lm" || isPreferenceTask(task),
  max_length: (task) => task !== "image-classification",
  truncation: (task) => task !== "image-classification" && task !== "reward",
  columns: (task) => task !== "image-classification",
  header: (task) => task !== "image-classification",
  on_bad_row: (task) => task !== "image-classification",
  valid_split: (task) => task !== "image-classification",
  packing: canPack,
  packing_strategy: canPack,
  group_by_length: (task) => task === "sentence-embedding" || isPreferenceTask(task) || canPack(task),
  neftune_noise_alpha: (task) => task !== "image-classification" && !isPreferenceTask(task),
  auto_batch: (task) => !["sentence-embedding", "orpo", "cpo", "kto"].includes(task),
  label_smoothing_factor: (task) => !isPreferenceTask(task),
  z_loss: (task) => !isPreferenceTask(task),
  labels: hasLabels,
  ...Object.fromEntries(
    Object.keys(PREFERENCE_OPTIONS).map((key) => [key, (task: TrainingTask) => usesSetting(task, key)]),
  ),
};

/** @throws LoraError listing the settings that are given and mean nothing for the task */
export function checkTaskSettings({
  settings: { task },
  given,
}: {
  settings: { readonly task: TrainingTask };
  given: ReadonlySet<string>;
}): void {
  const useless = Object.keys(USED_BY).filter((key) => given.has(key) && !USED_BY[key]?.(task));
  const problems = useless.map((key) => `${key} means nothing for ${task}`);
  failAll("task", problems, `leave out ${useless.map(flagName).join(", ")}`);
}
