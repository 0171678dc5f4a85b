import type { FileSource } from "../../io/files/files.ts";
import type { HeadChoice, LoadedModel } from "../../load/model.ts";
import type { Task } from "../../models/model.ts";
import { planFiles, type TrainingPlan } from "../../train/plan/plan-training.ts";
import { largestThatFits } from "../../train/plan/search.ts";
import { LoraError } from "../../util/fail.ts";
import type { AdapterReference } from "../open.ts";
import type { BoundRows } from "../task.ts";
import type { TrainSettings } from "../training-run.ts";
import { plannedOptions } from "./options.ts";

/** A run that has everything but the size of its batches. */
export interface UnsizedRun {
  readonly files: FileSource;
  readonly head: HeadChoice<Task>;
  readonly model: LoadedModel;
  readonly rows: BoundRows;
  readonly resumed: AdapterReference | undefined;
}

/**
 * The rows of a micro-batch where nobody says: as many as usual, or as many as fit into the memory that is given and the
 * device's limits. What is computed is only what the plan of the run is.
 * @param tell told where it is fewer than usual, and why
 */
export async function fittingBatch(
  settings: TrainSettings,
  { files, head, model, rows, resumed }: UnsizedRun,
  tell: (line: string) => void,
): Promise<number> {
  const usual = settings.per_device_train_batch_size;
  const options = plannedOptions(settings, resumed);
  // Rows that are read when they are needed are counted, and told of, where the run meets them: here they are as long as may be.
  const isStreamed = rows.count === undefined;
  const plan = (batchSize: number): Promise<TrainingPlan> =>
    planFiles(files, {
      ...{ ...options, ...head, device: model.device, search: false, batchSize },
      ...(!isStreamed && { rows: (other: LoadedModel) => rows.measurable(other) }),
    });
  try {
    const [problem] = (await plan(usual)).problems;
    if (problem === undefined) return usual;
    const least = settings.task === "sentence-embedding" ? 2 : 1;
    const measure = async (n: number) => {
      const { problems, use } = await plan(n);
      return { fits: problems.length === 0, total: use.total };
    };
    const most = await largestThatFits(measure, { least, most: usual - 1, room: settings.memory });
    const fewer = most ?? Math.min(least, usual);
    const all = most === undefined ? ", which does not fit either: plan says what would" : "";
    tell(
      `Batch: ${fewer} in place of ${usual}${all}, because ${problem} (--per-device-train-batch-size gives another)`,
    );
    return fewer;
  } catch (error) {
    // Whatever a plan cannot say, the run itself will.
    if (error instanceof LoraError) return usual;
    throw error;
  }
}
