import { headTask, isPreferenceTask, type TrainingTask } from "../../data/task-names.ts";
import type { HeadChoice } from "../../load/model.ts";
import type { Task } from "../../models/model.ts";
import type { ExampleRows } from "../plan/scenario.ts";
import { requireTaskModel, taskChosen, taskKind } from "./open-task.ts";
import type { TaskChoice, TaskOptions } from "./tasks.ts";

/** The one score of a reward model, by the name that transformers gives to it. */
const REWARD_LABELS = ["LABEL_0"];

/** What a plan of a task knows of its head, and its longest rows where they are none of the head's own task. */
export async function plannedTask(
  task: TaskChoice<TrainingTask>,
): Promise<Pick<HeadChoice<Task>, "task" | "labels"> & { readonly examples?: ExampleRows }> {
  const { name, options } = taskChosen("planTraining", task);
  const head = { task: headTask(name), ...(name === "reward" && { labels: REWARD_LABELS }) };
  if (!isPreferenceTask(name)) return head;
  const { examples } = await taskKind(name);
  const told = options as TaskOptions<typeof name>;
  return {
    ...head,
    ...(examples && {
      examples: (model, count, length) =>
        examples(requireTaskModel("planTraining", model, name), told, count, length),
    }),
  };
}
