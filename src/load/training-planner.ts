import { PLAN_RULES, type PlanOptions, planFiles } from "../train/plan/plan-training.ts";
import { checkOptions, pickOptions, type Rules } from "../util/options.ts";
import { type Loaders, modelFilesOf, type Platform, SOURCE_RULES, type SourceOptions } from "./loaders.ts";

const RULES: Rules<SourceOptions & PlanOptions> = { ...SOURCE_RULES, ...PLAN_RULES };

/** Makes {@link Loaders.planTraining}. */
export function trainingPlanner(platform: Pick<Platform, "resolveFiles">): Loaders["planTraining"] {
  return async (reference, options = {}) => {
    checkOptions("planTraining", options, RULES);
    const files = await modelFilesOf("planTraining", reference, platform, pickOptions(options, SOURCE_RULES));
    return planFiles(files, pickOptions(options, PLAN_RULES));
  };
}
