import type { TrainingTask } from "../data/task-names.ts";
import { factsOf } from "../gpu/shape-device.ts";
import { OPEN_RULES } from "../load/model.ts";
import { openShapeModel } from "../load/shape-model.ts";
import type { Task } from "../models/model.ts";
import { type TrainingRows, type TrainOptions, train } from "../train/text.ts";
import { pickOptions } from "../util/options.ts";
import type { Handles } from "./handles.ts";
import type { ModelRef } from "./protocol.ts";

/** Steps that are looked at: the second may launch what the first did not. */
const STEPS = 2;

/**
 * Compiles what a run will launch before it begins, without holding up the device, which draws pages, too. What that is, the first
 * steps on a device that only counts tell.
 */
export async function compileAhead(
  handles: Handles,
  { model, adapter }: { readonly model: ModelRef; readonly adapter: number },
  rows: TrainingRows<TrainingTask>,
  options: TrainOptions<TrainingTask>,
  onProgress: (done: number, of: number) => void,
): Promise<void> {
  const { files, device, task, ...loaded } = handles.model(model);
  if (!files) return;
  const opening = pickOptions(handles.optionsOf(model), OPEN_RULES);
  const labels = "labels" in loaded ? loaded.labels : undefined;
  const shape = await openShapeModel(files, factsOf(device), {
    ...opening,
    ...{ task, labels },
    onWarning: undefined,
  });
  const outline = await handles.adapter(adapter).outline(shape.model);
  const { onData: _, onPacking: __, signal: ___, ...plain } = options;
  for await (const _step of train<Task, TrainingTask>(shape.model, outline, rows, {
    ...plain,
    maxSteps: STEPS,
  }));
  await device.kernels.compileAhead(shape.kernels, onProgress);
}
