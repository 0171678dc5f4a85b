import { attach } from "../../adapters/adapter.ts";
import { isPreferenceTask } from "../../data/task-names.ts";
import { MEASURED_RULES } from "../../train/plan/measure.ts";
import type { PlanOptions } from "../../train/plan/plan-training.ts";
import { pickOptions } from "../../util/options.ts";
import { methodFor } from "../last-layers.ts";
import { methodOf } from "../method-table.ts";
import { type AdapterReference, openCliAdapter, quantizationOf } from "../open.ts";
import { preferenceExamples } from "../preference-tasks.ts";
import { trainerOptions } from "../run-steps.ts";
import type { TrainSettings } from "../training-run.ts";

/**
 * What a plan is told of a run's settings; rows and head are to be added.
 * @param resumed the adapter that is trained on, in place of a new one
 */
export function plannedOptions(
  settings: TrainSettings,
  resumed: AdapterReference | undefined,
): Omit<PlanOptions, "rows" | "device"> {
  const { max_length, memory, task, per_device_eval_batch_size: evalBatchSize } = settings;
  return {
    ...pickOptions(trainerOptions(settings), MEASURED_RULES),
    ...(max_length !== undefined && { maxLength: max_length }),
    ...(evalBatchSize !== undefined && { evalBatchSize }),
    ...{ quantization: quantizationOf(settings), offload: settings.offload, memory },
    ...(isPreferenceTask(task) && {
      examples: (model, count, length) => preferenceExamples(task, model, settings, count, length),
    }),
    method: resumed
      ? async (model) => (await openCliAdapter(model, resumed, () => {})).adapter
      : plannedMethod(settings),
  };
}

/** A plan that knows the method itself looks at smaller ranks, too. */
function plannedMethod(settings: TrainSettings): PlanOptions["method"] {
  const { num_layers = -1, method, seed } = settings;
  if (num_layers === -1) return methodOf(method, settings);
  return async (model) => attach(model, methodFor(model, settings), { seed });
}
