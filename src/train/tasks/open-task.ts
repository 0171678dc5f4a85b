import { isItemSource } from "../../data/feed/item-source.ts";
import type { RowStream } from "../../data/files/row-stream.ts";
import { headTask, isPreferenceTask, TRAINING_TASKS, type TrainingTask } from "../../data/task-names.ts";
import type { LoadedModel } from "../../load/model.ts";
import type { Parameters } from "../../nn/parameters.ts";
import { fail, failAll } from "../../util/fail.ts";
import { describe } from "../../util/options.ts";
import type { EvaluationOptions } from "../evaluate.ts";
import { type Measurable, measurable } from "../plan/measurable.ts";
import { type StepMetrics, trainObjective } from "../trainer.ts";
import type { TrainerOptions } from "../trainer-options.ts";
import type { RowOptions, TaskKind, TaskModel } from "./task-kind.ts";
import type { TaskChoice, TaskEvaluation, TaskOptions, TaskRow, TaskRowsReport } from "./tasks.ts";
import { usualLearningRate } from "./usual-rate.ts";

/** The task's module, which is loaded when somebody asks for it. */
const KINDS: { readonly [T in TrainingTask]: () => Promise<TaskKind<T>> } = {
  "causal-lm": async () => (await import("./causal-lm.ts")).CAUSAL_LM,
  "masked-lm": async () => (await import("./text-tasks.ts")).MASKED_LM,
  "sequence-classification": async () => (await import("./text-tasks.ts")).SEQUENCE_CLASSIFICATION,
  "token-classification": async () => (await import("./text-tasks.ts")).TOKEN_CLASSIFICATION,
  "sentence-embedding": async () => (await import("./text-tasks.ts")).SENTENCE_EMBEDDING,
  "image-classification": async () => (await import("./image-task.ts")).IMAGE_CLASSIFICATION,
  dpo: async () => (await import("./preference-tasks.ts")).PREFERENCE_KINDS.dpo,
  orpo: async () => (await import("./preference-tasks.ts")).PREFERENCE_KINDS.orpo,
  cpo: async () => (await import("./preference-tasks.ts")).PREFERENCE_KINDS.cpo,
  simpo: async () => (await import("./preference-tasks.ts")).PREFERENCE_KINDS.simpo,
  kto: async () => (await import("./preference-tasks.ts")).PREFERENCE_KINDS.kto,
  reward: async () => (await import("./preference-tasks.ts")).PREFERENCE_KINDS.reward,
};

/** What is learnt, and what the task is told. */
interface Chosen<T extends TrainingTask> {
  readonly name: T;
  readonly options: TaskOptions<T>;
}

/** A task by its name and its options. @throws LoraError where it is told what it does not know */
export function taskChosen<T extends TrainingTask>(where: string, task: TaskChoice<T>): Chosen<T> {
  const { name, ...options } = (typeof task === "string" ? { name: task } : task) as { readonly name: T };
  if (!TRAINING_TASKS.includes(name))
    fail(where, `task is ${describe(name)}, wanted one of ${TRAINING_TASKS.join(", ")}`);
  const [first] = Object.keys(options);
  if (first !== undefined && TOLD_NOTHING.includes(name))
    fail(where, `the task ${name} has no options, and got ${first}`, `give its name alone: "${name}"`);
  return { name, options: options as TaskOptions<T> };
}

/** Tasks that have no options; the others check their own. */
const TOLD_NOTHING: readonly TrainingTask[] = [
  "causal-lm",
  "masked-lm",
  "sequence-classification",
  "token-classification",
  "image-classification",
];

/** The module of a task. */
export function taskKind<T extends TrainingTask>(name: T): Promise<TaskKind<T>> {
  return KINDS[name]() as Promise<TaskKind<T>>;
}

/** Options that only some tasks have a use for. */
const USED_BY: Readonly<Record<string, (task: TrainingTask) => boolean>> = {
  maskPrompt: (task) => task === "causal-lm",
  assistantOnlyLoss: (task) => task === "causal-lm",
  maskHistory: (task) => task === "causal-lm",
  chatTemplate: (task) => task === "causal-lm" || isPreferenceTask(task),
  appendEos: (task) => task === "causal-lm" || isPreferenceTask(task),
  maxLength: (task) => task !== "image-classification",
  truncation: (task) => task !== "image-classification" && task !== "reward",
};

/** @throws LoraError listing the options that mean nothing for a task */
function refuseUseless(where: string, task: TrainingTask, given: object): void {
  const useless = Object.entries(given)
    .filter(([key, value]) => value !== undefined && USED_BY[key]?.(task) === false)
    .map(([key]) => key);
  failAll(
    where,
    useless.map((key) => `${key} means nothing for ${task}`),
    `leave out ${useless.join(", ")}`,
  );
}

/**
 * The model as one that a task can train.
 * @throws LoraError where its head is for something else
 */
export function requireTaskModel<T extends TrainingTask>(
  where: string,
  model: LoadedModel,
  task: T,
): TaskModel<T> {
  const head = headTask(task);
  if (model.task === head) return model as unknown as TaskModel<T>;
  const fitting = TRAINING_TASKS.filter((name) => headTask(name) === model.task);
  const labels = task === "reward" ? ', labels: ["reward"]' : "";
  const load = head === "causal-lm" ? "loadModel" : `loadTaskModel and { task: "${head}"${labels} }`;
  return fail(
    where,
    `the task ${task} wants a model for ${head}, and ${model.name} was loaded for ${model.task}`,
    `load it with ${load}, or give one of its own tasks: ${fitting.join(", ")}`,
  );
}

/** Rows of a task, fitted to a model. */
export interface OpenedTask<T extends TrainingTask> {
  /** What became of the rows; absent where they are read when they are needed. */
  readonly report: TaskRowsReport<T> | undefined;
  train(parameters: Parameters, options: TrainerOptions): AsyncGenerator<StepMetrics>;
  evaluate(options: EvaluationOptions): Promise<TaskEvaluation<T>>;
  /** The items of a model on a device that only counts, for a plan. */
  measurable(): Measurable;
}

/**
 * Fits rows to a model, for a task.
 * @param where the function, for messages
 * @throws LoraError where the task does not fit the model, or knows nothing of an option, and for rows that cannot be used
 */
export async function openTask<T extends TrainingTask>(
  where: string,
  given: LoadedModel,
  rows: readonly TaskRow<T>[] | RowStream<TaskRow<T>>,
  task: TaskChoice<T>,
  rowOptions: RowOptions,
): Promise<OpenedTask<T>> {
  const { name, options } = taskChosen(where, task);
  const model = requireTaskModel(where, given, name);
  refuseUseless(where, name, rowOptions);
  const kind = await taskKind(name);
  const bounds = { maxLength: rowOptions.maxLength };
  const objective = kind.objective(model, options, bounds); // its options are checked before rows are read
  const { items, maxLength, report, nameRow } = await kind.prepare(model, rows, rowOptions);
  const named = nameRow && { nameRow };
  if (isItemSource(items) && "precomputeRefLogProbs" in options && options.precomputeRefLogProbs) {
    const got = "the rows are read when they are needed, and their scores would be in memory";
    fail("precomputeRefLogProbs", got, "leave it out, or give a list of rows");
  }
  const ready = async (batchSize: number | undefined) =>
    kind.ready && !isItemSource(items) ? kind.ready(objective, items, options, batchSize) : items;
  return {
    report,
    async *train(parameters, settings) {
      yield* trainObjective(objective, parameters, await ready(settings.batchSize), {
        ...settings,
        learningRate: settings.learningRate ?? usualLearningRate(name),
        ...(maxLength !== undefined && { maxLength }),
        ...named,
      });
    },
    evaluate: async (how) =>
      kind.evaluate(model, await ready(how.batchSize), options, { ...how, ...named }, bounds),
    measurable: () => measurable(objective, items, maxLength),
  };
}
