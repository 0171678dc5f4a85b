import { type ItemSource, listSource } from "../data/feed/item-source.ts";
import { isRowStream, type RowStream } from "../data/files/row-stream.ts";
import type { LoadedModel } from "../load/model.ts";
import { type ModelOf, requireTask, type Task } from "../models/model.ts";
import type { Parameters } from "../nn/parameters.ts";
import type { SampleOptions } from "../train/completions.ts";
import type { EvaluationOptions } from "../train/evaluate.ts";
import type { Objective } from "../train/objective.ts";
import { type Measurable, measurable } from "../train/plan/measurable.ts";
import { type StepMetrics, type TrainerOptions, trainObjective } from "../train/trainer.ts";
import type { RunSamples } from "../train/watch/observer.ts";
import { fail } from "../util/fail.ts";
import type { RowFile } from "./data-files.ts";
import { describeSets, sampleOf, setsOfItems } from "./data-sets.ts";
import { describePacking } from "./format.ts";
import type { LossMapOptions, MapSubject } from "./loss-map.ts";
import type { DataSettings } from "./sequences.ts";
import type { Parts, Rows, TestData, TrainingData } from "./tables-of-rows.ts";

/** How a model does on some rows, as numbers and as text. */
export interface TaskEvaluation {
  readonly loss: number;
  /** What follows the loss in a line, such as `accuracy 0.912`; may be empty. */
  readonly summary: string;
  /** What `eval` prints. */
  readonly lines: readonly string[];
  /** What `eval --json` prints. */
  readonly json: object;
}

/** Rows fitted to a model. */
export interface BoundRows {
  /** What became of the rows, as far as they were read, for `eval --json`. */
  readonly report: object;
  /** How many of them are left to be used; absent where they are read when they are needed. */
  readonly count?: number;
  /** The template that chats among them are rendered with; absent where there are none. */
  readonly chatTemplate?: string;
  /** A key for each row in memory; rows that are equal to a model have equal keys. */
  readonly keys: ReadonlySet<number>;
  /** The rows themselves, where all are in memory. */
  readonly items?: readonly unknown[];
  /** Trains on them. */
  train(parameters: Parameters, options: TrainerOptions): AsyncGenerator<StepMetrics>;
  /** @param most how many of the first ones count; all of them unless given */
  evaluate(batchSize: number, most?: number): Promise<TaskEvaluation>;
  /** The same rows for another model of this kind, on a device that only counts. */
  measurable(model: LoadedModel): Measurable;
  /** Has the model write; absent where it does not, or rows are read when they are needed. */
  readonly writing?: Writing;
}

/** What a model that writes is asked for beside its loss. */
export interface Writing {
  /** The share of rows whose completion it writes as it stands there. */
  exactMatch(batchSize: number): Promise<number>;
  /** What it makes of prompts: those of its first rows, or these. */
  samples(wanted: SampleOptions): Promise<RunSamples["samples"]>;
  /** A page of what each token of the first rows costs, base model and adapters side by side. */
  lossMap(subject: MapSubject, options: LossMapOptions): Promise<string>;
}

/** Rows of one file that were read and checked, before any model is there. */
export interface TaskRows {
  readonly path: string;
  /** Names of the classes that occur; undefined where the task has none. */
  readonly labels: readonly string[] | undefined;
  /** Makes what the model learns from or is judged by. */
  bind(model: LoadedModel, settings: DataSettings, note: (line: string) => void): Promise<BoundRows>;
}

/** What a task is on the command line. */
export interface TaskCommand {
  readTraining(data: TrainingData): Promise<Parts<TaskRows>>;
  readTest(data: TestData): Promise<TaskRows>;
}

/** Items that are made when they are needed. */
export interface StreamedItems<I> extends Pick<ItemSource<I>, "get" | "splitsRows"> {
  readonly chatTemplate?: string;
  /** Tokens that an item has at most; absent where it has none. */
  readonly maxLength?: number;
  /** What became of the rows so far, for `eval --json`. */
  report?(): object;
  /** Called when no more is needed. */
  end(): void;
}

/** Items, and what became of the rows they were made of. */
export interface Prepared<I> {
  readonly items: readonly I[];
  /** The place of each item's row in the file, from 0. */
  readonly places: readonly number[];
  readonly report?: object;
  readonly chatTemplate?: string;
  readonly keys?: ReadonlySet<number>;
  /** Tokens that an item has at most; absent where it has none. */
  readonly maxLength?: number;
}

/** The parts of a {@link TaskCommand}, with the task's own kinds of rows and items. */
export interface TaskParts<T extends Task, R, I> {
  task: T;
  readTraining(data: TrainingData): Promise<Parts<Rows<R>>>;
  readTest(data: TestData): Promise<Rows<R>>;
  labels?: (rows: readonly R[]) => readonly string[];
  /** Rows → items of the objective; reports what became of them. */
  prepare(
    model: LoadedModel<T>,
    file: RowFile<R>,
    settings: DataSettings,
    note: (line: string) => void,
  ): Promise<Prepared<I>> | Prepared<I>;
  /** The same of rows that are read when they are needed; absent where they never are. */
  stream?(
    model: LoadedModel<T>,
    rows: RowStream<R>,
    settings: DataSettings,
    note: (line: string) => void,
  ): Promise<StreamedItems<I>>;
  objective(model: LoadedModel<T>, settings: DataSettings): Objective<I>;
  /** What has to be known of items in memory before they are learnt from, or judged by; absent where that is nothing. */
  ready?(
    model: LoadedModel<T>,
    items: readonly I[],
    batchSize: number,
    settings: DataSettings,
    note: (line: string) => void,
  ): Promise<readonly I[]>;
  evaluate(
    model: LoadedModel<T>,
    items: readonly I[] | ItemSource<I>,
    options: Required<EvaluationOptions>,
    settings: DataSettings,
  ): Promise<TaskEvaluation>;
  /** Absent where the model writes nothing. */
  writing?(
    model: LoadedModel<T>,
    items: readonly I[],
    prepared: Pick<Prepared<I>, "chatTemplate"> & { readonly nameRow: (item: number) => string },
  ): Writing;
}

/** How many rows of each file are among the first ones of all. */
function firstRows(lengths: readonly number[], most: number): number[] {
  let left = most;
  return lengths.map((length) => {
    const taken = Math.min(length, left);
    left -= taken;
    return taken;
  });
}

/** Joins the parts, so that what an item is stays inside. */
export function taskCommand<T extends Task, R, I>(parts: TaskParts<T, R, I>): TaskCommand {
  const modelOf = (loaded: LoadedModel) => {
    requireTask(loaded, parts.task);
    return loaded as unknown as LoadedModel<T> & ModelOf[T];
  };
  const rowsOfFile = (file: RowFile<R>): TaskRows => ({
    path: file.path,
    labels: parts.labels?.(file.rows),
    async bind(loaded, settings, note) {
      const model = modelOf(loaded);
      const prepared = await parts.prepare(model, file, settings, note);
      file.notes?.forEach(note);
      const { items, places, report = {}, chatTemplate, maxLength, keys = new Set() } = prepared;
      const nameRow = (item: number) => file.nameOf(places[item] as number);
      const objective = parts.objective(model, settings);
      let known: Promise<readonly I[]> | undefined;
      const ready = (batchSize = 1) => {
        known ??= parts.ready?.(model, items, batchSize, settings, note) ?? Promise.resolve(items);
        return known;
      };
      const sets = file.sets && setsOfItems(file.sets, places);
      if (sets) describeSets(sets, items.entries(), objective).forEach(note);
      const drawn = (items: readonly I[]) => (sets?.weights ? listSource(items, sets, nameRow) : items);
      return {
        report,
        count: items.length,
        items,
        keys,
        ...(chatTemplate !== undefined && { chatTemplate }),
        async *train(parameters, options) {
          yield* trainObjective(objective, parameters, drawn(await ready(options.batchSize)), {
            ...options,
            ...(maxLength !== undefined && { maxLength }),
            nameRow,
            onPacking: (packed) => note(describePacking(packed)),
          });
        },
        async evaluate(batchSize, most) {
          const judged = (await ready(batchSize)).slice(0, most);
          return parts.evaluate(model, judged, { batchSize, nameRow }, settings);
        },
        measurable: (other) => measurable(parts.objective(modelOf(other), settings), drawn(items), maxLength),
        ...(parts.writing && { writing: parts.writing(model, items, { ...prepared, nameRow }) }),
      };
    },
  });
  const rowsOfStream = (stream: RowStream<R>): TaskRows => ({
    path: stream.path,
    labels: stream.labels,
    async bind(loaded, settings, note) {
      const model = modelOf(loaded);
      const streamed = await parts.stream?.(model, stream, settings, note);
      if (!streamed) return fail("streaming", `rows of ${parts.task} are not streamed`, "leave it out");
      const { chatTemplate, maxLength, end, report = () => ({}), ...items } = streamed;
      const objective = parts.objective(model, settings);
      const nameOf = (place: number) => stream.nameOf(place);
      const source: ItemSource<I> = { ...items, mixture: stream.sets, nameOf };
      if (stream.sets.names.length > 1) {
        const sample = await source.get(sampleOf(stream.sets));
        const entries = sample.map(({ item, place }) => [place, item] as const);
        describeSets(stream.sets, entries, objective).forEach(note);
      }
      return {
        get report() {
          return report();
        },
        keys: new Set(),
        ...(chatTemplate !== undefined && { chatTemplate }),
        async *train(parameters, options) {
          try {
            yield* trainObjective(objective, parameters, source, {
              ...options,
              ...(maxLength !== undefined && { maxLength }),
              onPacking: (packed) => note(`the first ones: ${describePacking(packed)}`),
            });
          } finally {
            end();
          }
        },
        async evaluate(batchSize, most = Number.POSITIVE_INFINITY) {
          const judged = {
            ...source,
            mixture: { ...stream.sets, lengths: firstRows(stream.sets.lengths, most) },
          };
          const evaluation = await parts.evaluate(model, judged, { batchSize, nameRow: nameOf }, settings);
          end();
          return evaluation;
        },
        measurable: (other) => measurable(parts.objective(modelOf(other), settings), source, maxLength),
      };
    },
  });
  const rowsOf = (rows: Rows<R>) => (isRowStream<R>(rows) ? rowsOfStream(rows) : rowsOfFile(rows));
  return {
    async readTraining(data) {
      const { train, valid } = await parts.readTraining(data);
      return { train: rowsOf(train), valid: valid && rowsOf(valid) };
    },
    readTest: async (data) => rowsOf(await parts.readTest(data)),
  };
}
