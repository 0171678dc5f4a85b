import type { ItemSource } from "../../data/feed/item-source.ts";
import type { RowStream } from "../../data/files/row-stream.ts";
import type { TrainingTask } from "../../data/task-names.ts";
import type { TokenizeOptions } from "../../data/tokenize/tokenize-options.ts";
import type { LoadedModel } from "../../load/model.ts";
import type { EvaluationOptions } from "../evaluate.ts";
import type { Objective } from "../objective.ts";
import type { Measurable } from "../plan/measurable.ts";
import type { TrainerOptions } from "../trainer-options.ts";
import type { TaskEvaluation, TaskOptions, TaskRow, TaskRowsReport, TrainingTasks } from "./tasks.ts";

/** Items in memory, or made when they are needed. */
export type Items<Item> = readonly Item[] | ItemSource<Item>;

/** What a row of a task becomes. */
export type TaskItem<T extends TrainingTask> = TrainingTasks[T]["item"];

/** The model that a task needs. */
export type TaskModel<T extends TrainingTask> = LoadedModel<TrainingTasks[T]["head"]>;

/** How rows are read. */
export type RowOptions = Partial<TokenizeOptions> & Pick<TrainerOptions, "packing" | "nameRow">;

/** What is said of how long items may be. */
export interface Bounds {
  readonly maxLength?: number | undefined;
}

/** Rows as a model reads them. */
export interface TaskItems<T extends TrainingTask> {
  readonly items: Items<TaskItem<T>>;
  /** Tokens that an item has at most; absent where it has none. */
  readonly maxLength?: number;
  /** What became of the rows; absent where they are read when they are needed, as is the next. */
  readonly report?: TaskRowsReport<T>;
  /** What messages call an item, by its place: some rows are left out. */
  readonly nameRow?: (place: number) => string;
}

/** How a task learns: what the library, the command line and the engine in a worker all go by. */
export interface TaskKind<T extends TrainingTask> {
  /**
   * Rows → items.
   * @throws LoraError naming the rows that cannot be used, or saying that none is left
   */
  prepare(
    model: TaskModel<T>,
    rows: readonly TaskRow<T>[] | RowStream<TaskRow<T>>,
    options: RowOptions,
  ): Promise<TaskItems<T>>;
  /** @throws LoraError for options that are wrong or contradict each other */
  objective(model: TaskModel<T>, options: TaskOptions<T>, bounds?: Bounds): Objective<TaskItem<T>>;
  /** What has to be known of items in memory before they are learnt from, or judged by; absent where that is nothing. */
  ready?(
    objective: Objective<TaskItem<T>>,
    items: readonly TaskItem<T>[],
    options: TaskOptions<T>,
    batchSize: number | undefined,
  ): Promise<readonly TaskItem<T>[]>;
  evaluate(
    model: TaskModel<T>,
    items: Items<TaskItem<T>>,
    options: TaskOptions<T>,
    how: EvaluationOptions,
    bounds?: Bounds,
  ): Promise<TaskEvaluation<T>>;
  /** As many rows of so many tokens as rows can have; absent where the head's task says that. */
  examples?(model: TaskModel<T>, options: TaskOptions<T>, count: number, length: number): Measurable;
}
