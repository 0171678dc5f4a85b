import { isPreferenceTask, type TrainingTask } from "../../data/task-names.ts";
import { LORA_LEARNING_RATE, PREFERENCE_LEARNING_RATE } from "../learning-rate.ts";

/** The peak rate of a task where none is given. */
export function usualLearningRate(task: TrainingTask): number {
  return isPreferenceTask(task) && task !== "reward" ? PREFERENCE_LEARNING_RATE : LORA_LEARNING_RATE;
}
