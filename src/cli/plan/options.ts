import { MEASURED_RULES } from "../../train/plan/measure.ts";
import type { PlanOptions } from "../../train/plan/plan-training.ts";
import { pickOptions } from "../../util/options.ts";
import { methodOf } from "../method-table.ts";
import { type AdapterReference, openCliAdapter, quantizationOf } from "../open.ts";
import { preferenceExamples } from "../preference-tasks.ts";
import { trainerOptions } from "../run-steps.ts";
import { isPreferenceTask } from "../task-names.ts";
import type { TrainSettings } from "../training-run.ts";

/**
 * What a plan is told of a run's settings; rows and head are to be added.
 * @param resumed the adapter that is trained on, in place of a new one
 */
export function plannedOptions(
  settings: TrainSettings,
  resumed: AdapterReference | undefined,
): Omit<PlanOptions, "rows" | "device"> {
  const { max_length, memory, task } = settings;
  return {
    ...pickOptions(trainerOptions(settings), MEASURED_RULES),
    ...(max_length !== undefined && { maxLength: max_length }),
    ...{ quantization: quantizationOf(settings), memory },
    ...(isPreferenceTask(task) && {
      examples: (model, count, length) => preferenceExamples(task, model, settings, count, length),
    }),
    method: resumed
      ? async (model) => (await openCliAdapter(model, resumed, () => {})).adapter
      : methodOf(settings.method, settings),
  };
}
