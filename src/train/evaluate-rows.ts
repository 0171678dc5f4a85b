import type { TrainingTask } from "../data/task-names.ts";
import { TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import type { LoadedModel } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import { checkOptions, pickOptions, type Rules } from "../util/options.ts";
import { EVALUATION_RULES, type EvaluationOptions, evaluate as evaluateSequences } from "./evaluate.ts";
import { sequencesOf } from "./row-sequences.ts";
import type { TaskChoice, TaskEvaluation } from "./tasks/tasks.ts";
import { isLanguageModel, rowOptions, TASK, type TrainingRows } from "./text.ts";

/** Options of {@link evaluate}, for a task. */
export interface EvaluateOptions<T extends TrainingTask = "causal-lm">
  extends EvaluationOptions,
    Partial<TokenizeOptions> {
  /** What the rows are for, as in `train`; what the model was loaded for unless given. */
  task?: TaskChoice<T>;
}

/** What these options have to be. */
const EVALUATE_RULES: Rules<EvaluateOptions> = { ...EVALUATION_RULES, ...TOKENIZE_RULES, task: TASK };

/**
 * How a model does on rows of a task, which may be read when they are needed, as in `train`: the mean loss (nats) and perplexity of
 * the label tokens; of classifiers accuracy, F1 and the confusion matrix, and of tags whole entities; of preferences what TRL reports.
 * @throws LoraError where the task does not fit the model, the model has no tokenizer or no row is left
 */
export async function evaluate<H extends Task, T extends TrainingTask = H>(
  model: LoadedModel & { readonly task: H },
  rows: TrainingRows<T>,
  options: EvaluateOptions<T> = {},
): Promise<TaskEvaluation<T>> {
  checkOptions("evaluate", options, EVALUATE_RULES as Rules<EvaluateOptions<T>>);
  requireModel("evaluate", model);
  const { task = model.task } = options;
  const settings = pickOptions(options, EVALUATION_RULES);
  if (isLanguageModel(model, task)) {
    const { sequences, nameRow } = await sequencesOf(model, rows as TrainingRows<"causal-lm">, options);
    return evaluateSequences(model, sequences, { ...settings, ...(nameRow && { nameRow }) });
  }
  const { openTask } = await import("./tasks/open-task.ts");
  const asked = rowOptions(options);
  return (await openTask("evaluate", model, rows, task as TaskChoice<T>, asked)).evaluate(settings);
}
