import { blobFile } from "../data/files/data-file.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import { type RowsAs, streamRows } from "../data/files/rows-as.ts";
import { isPreferenceTask, type TrainingTask } from "../data/task-names.ts";
import type { LoadedModel } from "../load/model.ts";
import type { TaskChoice } from "../train/tasks/tasks.ts";
import { fail } from "../util/fail.ts";
import type { EngineRows } from "./protocol.ts";

/** What the rows of files are read as for each task of a head. */
const READ_AS = {
  "causal-lm": "examples",
  "sequence-classification": "labelled-texts",
  "token-classification": "tagged-words",
  "masked-lm": "texts",
  "sentence-embedding": "paired-texts",
} as const;

/** What the rows of files are read as for a task. @throws LoraError where they are no rows of files */
export function rowsOfTask(task: TrainingTask): keyof RowsAs {
  if (isPreferenceTask(task)) return "preferences";
  if (task !== "image-classification") return READ_AS[task];
  return fail("rows", "images are no rows of a file", "give { image, label } with what decodeImage gives");
}

/**
 * Rows as the library takes them: files are read while they are needed.
 * @param task what those of files are for, where the program does not say what they are read as
 */
export async function readRowsGiven<Row>(
  rows: EngineRows<Row>,
  task: TrainingTask,
): Promise<readonly Row[] | RowStream<Row>> {
  if (!("files" in rows)) return rows;
  const { files, label: _, ...how } = rows;
  const named = [...files].map(([name, file]) => blobFile(name, file));
  const as = how.as ?? rowsOfTask(task);
  return (await streamRows(named, { ...how, as })) as unknown as RowStream<Row>;
}

/** What is learnt, or judged: what a program says, or what the model was loaded for. */
export function taskOf(
  model: Pick<LoadedModel, "task">,
  { task = model.task }: { readonly task?: TaskChoice<TrainingTask> },
): TrainingTask {
  return typeof task === "string" ? task : task.name;
}
