import { TASKS, type Task } from "../models/model.ts";

/** Ways of learning which answers are better, on the heads of other tasks. */
export const PREFERENCE_TASKS = ["dpo", "orpo", "cpo", "simpo", "kto", "reward"] as const;

/** One of {@link PREFERENCE_TASKS}. */
export type PreferenceTask = (typeof PREFERENCE_TASKS)[number];

/** What can be learnt: the task of a head, or what is learnt with one. */
export type TrainingTask = Task | PreferenceTask;

/** All of them. */
export const TRAINING_TASKS: readonly TrainingTask[] = [...TASKS, ...PREFERENCE_TASKS];

/** Whether a task learns which answers are better. */
export function isPreferenceTask(task: string): task is PreferenceTask {
  return (PREFERENCE_TASKS as readonly string[]).includes(task);
}

/** Whether it compares the model with a reference. */
export function hasReference(task: TrainingTask): boolean {
  return task === "dpo" || task === "kto";
}

/** The task whose head a model needs for it. */
export function headTask(task: TrainingTask): Task {
  if (!isPreferenceTask(task)) return task;
  return task === "reward" ? "sequence-classification" : "causal-lm";
}
