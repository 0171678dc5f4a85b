import { firstRows, type ItemSource, isItemSource, listSource } from "../data/feed/item-source.ts";
import { isRowStream } from "../data/files/is-row-stream.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import type { PackingReport } from "../data/packing.ts";
import type { LoadedModel } from "../load/model.ts";
import { requireTask, type Task } from "../models/model.ts";
import type { Parameters } from "../nn/parameters.ts";
import type { SampleOptions } from "../train/completions.ts";
import type { EvaluationOptions } from "../train/evaluate.ts";
import type { Objective } from "../train/objective.ts";
import { type Measurable, measurable } from "../train/plan/measurable.ts";
import { type StepMetrics, trainObjective } from "../train/trainer.ts";
import type { TrainerOptions } from "../train/trainer-options.ts";
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
  /** Has the model write; absent where it does not. */
  readonly writing?: Writing;
}

/** What a model that writes is asked for beside its loss. */
export interface Writing {
  /**
   * The share of rows whose completion it writes as it stands there.
   * @param most how many of the first ones count; all of them unless given
   */
  exactMatch(batchSize: number, most?: number): Promise<number>;
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
    items: readonly I[] | ItemSource<I>,
    prepared: Pick<Prepared<I>, "chatTemplate"> & { readonly nameRow: (place: number) => string },
  ): Writing;
}

/** Joins the parts, so that what an item is stays inside. */
export function taskCommand<T extends Task, R, I>(parts: TaskParts<T, R, I>): TaskCommand {
  const rowsOf = (rows: Rows<R>): TaskRows => ({
    path: rows.path,
    labels: isRowStream<R>(rows) ? rows.labels : parts.labels?.(rows.rows),
    async bind(loaded, settings, note) {
      const binding = { model: modelOf(parts.task, loaded), settings, note };
      const objective = parts.objective(binding.model, settings);
      const fitted = isRowStream<R>(rows)
        ? await fitStream(parts, rows, objective, binding)
        : await fitFile(parts, rows, objective, binding);
      return boundRows(parts, objective, fitted, binding);
    },
  });
  return {
    async readTraining(data) {
      const { train, valid } = await parts.readTraining(data);
      return { train: rowsOf(train), valid: valid && rowsOf(valid) };
    },
    readTest: async (data) => rowsOf(await parts.readTest(data)),
  };
}

function modelOf<T extends Task>(task: T, loaded: LoadedModel): LoadedModel<T> {
  requireTask(loaded, task);
  return loaded as unknown as LoadedModel<T>;
}

/** What rows are fitted to. */
interface Binding<T extends Task> {
  readonly model: LoadedModel<T>;
  readonly settings: DataSettings;
  readonly note: (line: string) => void;
}

/** Rows as items of a model's objective, in memory or not. */
interface Fitted<I> extends Pick<BoundRows, "count" | "items" | "keys" | "chatTemplate"> {
  readonly maxLength?: number | undefined;
  /** What is learnt from: the items as often as they are drawn. */
  drawn(items: readonly I[] | ItemSource<I>): readonly I[] | ItemSource<I>;
  /** The items, with what has to be known of them before batches of this size are made. */
  ready(batchSize?: number): Promise<readonly I[] | ItemSource<I>>;
  /** All of them, as they are. */
  readonly all: readonly I[] | ItemSource<I>;
  nameRow(item: number): string;
  report(): object;
  notePacking(packed: PackingReport): void;
  /** Called when no more is needed. */
  end(): void;
}

/** Rows in memory. */
async function fitFile<T extends Task, R, I>(
  parts: TaskParts<T, R, I>,
  file: RowFile<R>,
  objective: Objective<I>,
  { model, settings, note }: Binding<T>,
): Promise<Fitted<I>> {
  const { report = {}, keys = new Set(), ...prepared } = await parts.prepare(model, file, settings, note);
  const { items, places, chatTemplate, maxLength } = prepared;
  file.notes?.forEach(note);
  const nameRow = (item: number) => file.nameOf(places[item] as number);
  const sets = file.sets && setsOfItems(file.sets, places);
  if (sets) describeSets(sets, items.entries(), objective).forEach(note);
  let known: Promise<readonly I[]> | undefined;
  return {
    ...{ all: items, items, count: items.length, keys, maxLength, nameRow },
    ...(chatTemplate !== undefined && { chatTemplate }),
    drawn: (all) => (sets?.weights && !isItemSource(all) ? listSource(all, sets, nameRow) : all),
    ready(batchSize = 1) {
      known ??= parts.ready?.(model, items, batchSize, settings, note) ?? Promise.resolve(items);
      return known;
    },
    report: () => report,
    notePacking: (packed) => note(describePacking(packed)),
    end() {},
  };
}

/** Rows that are read when they are needed. */
async function fitStream<T extends Task, R, I>(
  parts: TaskParts<T, R, I>,
  stream: RowStream<R>,
  objective: Objective<I>,
  { model, settings, note }: Binding<T>,
): Promise<Fitted<I>> {
  const streamed = await parts.stream?.(model, stream, settings, note);
  if (!streamed) return fail("streaming", `rows of ${parts.task} are not streamed`, "leave it out");
  const { chatTemplate, maxLength, end, report = () => ({}), ...items } = streamed;
  const nameRow = (place: number) => stream.nameOf(place);
  const all: ItemSource<I> = { ...items, mixture: stream.sets, nameOf: nameRow };
  if (stream.sets.names.length > 1) {
    const sample = await all.get(sampleOf(stream.sets));
    const entries = sample.map(({ item, place }) => [place, item] as const);
    describeSets(stream.sets, entries, objective).forEach(note);
  }
  return {
    ...{ all, keys: new Set(), maxLength, nameRow, report, end },
    ...(chatTemplate !== undefined && { chatTemplate }),
    drawn: (source) => source,
    ready: async () => all,
    notePacking: (packed) => note(`the first ones: ${describePacking(packed)}`),
  };
}

function boundRows<T extends Task, R, I>(
  parts: TaskParts<T, R, I>,
  objective: Objective<I>,
  fitted: Fitted<I>,
  { model, settings }: Binding<T>,
): BoundRows {
  const { all, items, count, keys, chatTemplate, maxLength, nameRow, drawn, ready, end } = fitted;
  return {
    get report() {
      return fitted.report();
    },
    keys,
    ...(items && count !== undefined && { items, count }),
    ...(chatTemplate !== undefined && { chatTemplate }),
    async *train(parameters, options) {
      try {
        yield* trainObjective(objective, parameters, drawn(await ready(options.batchSize)), {
          ...options,
          ...(maxLength !== undefined && { maxLength }),
          nameRow,
          onPacking: fitted.notePacking,
        });
      } finally {
        end();
      }
    },
    async evaluate(batchSize, most) {
      const judged = firstRows(await ready(batchSize), most);
      const evaluation = await parts.evaluate(model, judged, { batchSize, nameRow }, settings);
      end();
      return evaluation;
    },
    measurable: (other) =>
      measurable(parts.objective(modelOf(parts.task, other), settings), drawn(all), maxLength),
    ...(parts.writing && { writing: parts.writing(model, all, { ...fitted, nameRow }) }),
  };
}
