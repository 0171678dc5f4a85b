import { requireTrainable } from "../adapters/owners.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import type { TrainingTask } from "../data/task-names.ts";
import { TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import type { LoadedModel, Model } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { isObject } from "../util/json.ts";
import {
  callback,
  checkOptions,
  objectOf,
  pickOptions,
  type Rule,
  type Rules,
  required,
} from "../util/options.ts";
import { sequencesOf } from "./row-sequences.ts";
import type { RowOptions } from "./tasks/task-kind.ts";
import type { TaskChoice, TaskRow, TaskRowsReport } from "./tasks/tasks.ts";
import { type StepMetrics, trainSequences } from "./trainer.ts";
import { TRAINER_RULES, type TrainerOptions } from "./trainer-options.ts";

/** Options of {@link train}, for a task. */
export interface TrainOptions<T extends TrainingTask = "causal-lm">
  extends TrainerOptions,
    Partial<TokenizeOptions> {
  /** What is learnt: `"dpo"`, or `{ name: "dpo", beta: 0.2 }`; what the model was loaded for unless given. */
  task?: TaskChoice<T>;
  /** Told what became of the rows, before the first step; not of such as are read when they are needed, nor of images. */
  onData?: (report: TaskRowsReport<T>) => void;
}

/** What a choice of a task has to be. */
export const TASK: Rule = {
  wanted: 'a task, such as "dpo" or { name: "dpo", beta: 0.2 }',
  accepts: (task) => typeof task === "string" || (isObject(task) && "name" in task), // which there are is known late
  aliases: [],
};

const TRAIN_RULES: Rules<TrainOptions> = {
  ...TRAINER_RULES,
  ...TOKENIZE_RULES,
  task: TASK,
  onData: callback(),
};

/** Anything with trainable tensors: an adapter. */
export interface Trainable {
  /** The tensors to be trained. */
  readonly parameters: Parameters;
}

const TRAINABLE = required(objectOf("an adapter, as attach gives it", (adapter) => "parameters" in adapter));

/** Rows of a task, or where they are in files. */
export type TrainingRows<T extends TrainingTask> = readonly TaskRow<T>[] | RowStream<TaskRow<T>>;

/**
 * Trains an adapter for a task: the one that the model was loaded for, or another one that its head can learn, `{ task: "dpo" }`.
 *
 * A language model learns `{ text }` or `{ prompt, completion }` rows, the latter on the completion only, or chats,
 * `{ messages }`, of which `assistantOnlyLoss` leaves the assistant's answers. {@link TaskRow} says what the rows of other tasks hold.
 * @param rows rows, or where they are in files, as `streamRows` finds them: each is read and tokenised when its batch comes
 * @param options see {@link TrainOptions}; `maxLength` is 1024 tokens, or what the model takes, unless given; `learningRate` is 1e-5
 * where answers are compared
 * @returns the metrics of one optimiser step per iteration
 * @throws LoraError where the task does not fit the model, the model has no tokenizer or no row is left to learn, and as
 * {@link trainObjective} does
 */
export async function* train<H extends Task, T extends TrainingTask = H>(
  model: LoadedModel & { readonly task: H },
  adapter: Trainable,
  rows: TrainingRows<T>,
  options: TrainOptions<T> = {},
): AsyncGenerator<StepMetrics> {
  checkOptions("train", options, TRAIN_RULES as Rules<TrainOptions<T>>);
  requireModel("train", model);
  checkOptions("train", { adapter }, { adapter: TRAINABLE });
  requireTrainable("train", adapter.parameters, model);
  const settings = pickOptions(options, TRAINER_RULES);
  const { task = model.task, onData } = options;
  if (isLanguageModel(model, task)) {
    const { sequences, report, ...more } = await sequencesOf(
      model,
      rows as TrainingRows<"causal-lm">,
      options,
    );
    if (report) onData?.(report);
    yield* trainSequences(model, adapter.parameters, sequences, { ...settings, ...more });
    return;
  }
  const { openTask } = await import("./tasks/open-task.ts");
  const opened = await openTask("train", model, rows, task as TaskChoice<T>, rowOptions(options));
  if (opened.report) onData?.(opened.report);
  yield* opened.train(adapter.parameters, settings);
}

/** Language modelling is what most programs do: the other tasks are loaded when they are asked for. */
export function isLanguageModel(model: LoadedModel, task: unknown): model is Model {
  return model.task === "causal-lm" && task === "causal-lm";
}

/** What says how rows are read. */
const ROW_RULES: Rules<RowOptions> = {
  ...TOKENIZE_RULES,
  packing: TRAINER_RULES.packing,
  nameRow: TRAINER_RULES.nameRow,
};
/** The options that say how rows are read, of those for a whole run. */
export const rowOptions = (options: RowOptions) => pickOptions(options, ROW_RULES);
