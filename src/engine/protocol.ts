// What crosses between a program and its engine in a worker. All of it can be cloned: no functions, no classes.
import type { AttachOptions } from "../adapters/adapter.ts";
import type { ChatExample } from "../data/chat/chat-rows.ts";
import type { Message } from "../data/chat/messages.ts";
import type { ReadRowsOptions, RowsAs } from "../data/files/rows-as.ts";
import type { InspectDataOptions, InspectedRow } from "../data/inspect/inspect-data.ts";
import type { InspectedRows } from "../data/inspect/inspect-rows.ts";
import type { Example } from "../data/rows/examples.ts";
import type { TrainingTask } from "../data/task-names.ts";
import type { TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import type { DeviceInfo, DeviceOptions } from "../gpu/device.ts";
import type { LoadAdapterOptions, SaveAdapterOptions } from "../load/adapter.ts";
import type { ConvertOptions } from "../load/convert/convert-adapter.ts";
import type { LoadOptions, SourceOptions } from "../load/loaders.ts";
import type { HeadChoice } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import type { ConversationOptions } from "../train/conversation.ts";
import type { EvaluateOptions } from "../train/evaluate-rows.ts";
import type { GenerateOptions } from "../train/generate-text.ts";
import type { LossMapOptions, RowLosses } from "../train/loss-map.ts";
import type { PlanOptions, TrainingPlan } from "../train/plan/plan-training.ts";
import type { TaskChoice, TaskEvaluation, TaskRow } from "../train/tasks/tasks.ts";
import type { TrainOptions } from "../train/text.ts";
import type { StepMetrics } from "../train/trainer.ts";

/** A model in the worker; with `adapters`, through these alone. */
export interface ModelRef {
  /** Its number. */
  readonly model: number;
  /** Those of the adapters. */
  readonly adapters?: readonly number[];
}

/** Files that a program holds: dropped ones, or such as it has made. */
export interface FilesGiven {
  /** What messages call the place that they are from. */
  readonly label: string;
  /** By names with `/`. */
  readonly files: ReadonlyMap<string, Blob>;
}

/** What names a model or an adapter to the engine: a folder (Node), a URL or a hub id; a folder of a page; or files. */
export type EngineReference = string | FileSystemDirectoryHandle | FilesGiven;

/** Files of rows, and how they are read. */
export interface RowFilesGiven
  extends FilesGiven,
    Pick<ReadRowsOptions<keyof RowsAs>, "as" | "columns" | "header" | "onBadRow"> {}

/** Rows to learn from: themselves, or files of them, which are read while they are needed. */
export type EngineRows<Row = Example> = readonly Row[] | RowFilesGiven;

/** Rows of any task. */
export type AnyRows = EngineRows<TaskRow<TrainingTask>>;

/** A model that is loaded, or where one is. */
export type ModelSubject = ModelRef | EngineReference;

/** Options of the engine's `planTraining`; the device is the engine's, and the rest is as the model was loaded unless given. */
export interface EnginePlanOptions
  extends SourceOptions,
    Omit<PlanOptions, "method" | "rows" | "examples" | "device" | "peers" | "task">,
    Partial<TokenizeOptions> {
  /** What is learnt, as in `train`; what the model was loaded for, or its files say, unless given. */
  task?: TaskChoice<TrainingTask>;
  /** What is trained, by its name; `lora` unless given. */
  method?: EngineMethod;
  /** Rows to learn from; unless given, every row has `maxLength` tokens. */
  rows?: EngineRows<TaskRow<TrainingTask>>;
}

/** Options of the engine's `inspectData`. */
export interface EngineInspectOptions extends SourceOptions, Omit<InspectDataOptions, "judged"> {
  /** Rows that a model is judged by, which should not be among these. */
  readonly judged?: EngineRows<InspectedRow>;
}

/** A method by its name (`lora`, `adalora`, `oft` …), with the options of the function of that name. */
export type EngineMethod = { readonly method: string } & Readonly<Record<string, unknown>>;

/** How an adapter is written for other programs. */
export interface EngineConvertOptions extends Pick<ConvertOptions, "to" | "type"> {
  /** What a Modelfile for Ollama names as the base, such as `./base.gguf`; of GGUF alone, and none unless given. */
  readonly ollamaFrom?: string;
}

/** Where a run keeps its state. */
export interface KeptRun {
  /** A folder: in a page a path in the storage of the site, in Node one on disk. The run goes on from what is there. */
  readonly folder: string;
  /** Most seconds that are lost where the program ends; 20 unless given. */
  readonly seconds?: number;
}

/** A device that was lost in the middle of a run, which goes on. */
export interface LossNews {
  /** What the device said. */
  readonly message: string;
  /** The step behind which it goes on. */
  readonly step: number;
  /** Which loss in a row it is, without a finished step between; from 1. */
  readonly attempt: number;
  /** There is no other device yet: the run waits until there is one. */
  readonly waits: boolean;
}

/** Options of the engine's `train`. */
export interface EngineTrainOptions<T extends TrainingTask = "causal-lm">
  extends Omit<TrainOptions<T>, "onStart" | "resume" | "settleAfter" | "nameRow" | "batchSplit"> {
  /** Keeps the run's state in a folder, and goes on from there. */
  keep?: KeptRun;
  /** Told what deserves attention but ends nothing: a state that could not be kept. */
  onWarning?: (line: string) => void;
  /**
   * Told how far compiling is. Where it is given, all kernels are compiled before the first step, without holding up the device, which
   * draws pages, too; else each when it is first launched.
   */
  onCompile?: (done: number, of: number) => void;
  /** Told where the device was lost, and the run goes on, on another one. */
  onLoss?: (loss: LossNews) => void;
}

/** How a run ended. */
export interface RunEnd {
  /** The last finished step; 0 where there was none. */
  readonly step: number;
  /** Whether it was stopped before its last step. */
  readonly stopped: boolean;
}

/** What a program sees of a model. */
export interface ModelFacts<H extends Task = Task> {
  /** What it was loaded for. */
  readonly task: H;
  /** Names of the classes of its head; absent where it has none. */
  readonly labels?: readonly string[];
  /** What calls name it by. */
  readonly id: number;
  /** As it was asked for. */
  readonly name: string;
  /** Linear layers that PEFT adapts where a configuration names none. */
  readonly defaultTargets: readonly string[];
  /** Sizes, by the model's own names. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** What a program sees of an adapter. */
export interface AdapterFacts {
  /** What calls name it by. */
  readonly id: number;
  /** Tells it from the other adapters of the model. */
  readonly name: string;
  /** PEFT's `peft_type`. */
  readonly type: string;
  /** Numbers that are trained. */
  readonly parameters: number;
}

/** The functions of the engine: what they are given, and what they give. */
export interface Calls {
  openDevice(options: EngineDeviceOptions): DeviceInfo;
  downloadModel(reference: EngineReference, options: SourceOptions): void;
  loadModel(reference: EngineReference, options: EngineLoadOptions): ModelFacts<"causal-lm">;
  loadTaskModel(reference: EngineReference, options: EngineLoadOptions & HeadChoice<Task>): ModelFacts;
  attach(model: number, method: EngineMethod, options: EngineAttachOptions): AdapterFacts;
  loadAdapter(model: number, reference: EngineReference, options: EngineAdapterOptions): AdapterFacts;
  enable(adapter: number, on: boolean): void;
  saveAdapter(adapter: number, folder: string | FileSystemDirectoryHandle, options: SaveAdapterOptions): void;
  adapterFiles(adapter: number, options: SaveAdapterOptions): ReadonlyMap<string, Blob>;
  convertAdapter(adapter: number, options: EngineConvertOptions): ReadonlyMap<string, Blob>;
  planTraining(model: ModelSubject, options: EnginePlanOptions): TrainingPlan;
  inspectData(
    model: ModelSubject,
    rows: EngineRows<InspectedRow>,
    options: EngineInspectOptions,
  ): InspectedRows;
  train(model: ModelRef, adapter: number, rows: AnyRows, options: EngineTrainOptions<TrainingTask>): RunEnd;
  evaluate(
    model: ModelRef,
    rows: AnyRows,
    options: EvaluateOptions<TrainingTask>,
  ): TaskEvaluation<TrainingTask>;
  lossMap(model: ModelRef, rows: EngineRows, options: LossMapOptions): readonly RowLosses[];
  generate(model: ModelRef, prompt: string | ChatExample, options: GenerateOptions): void;
  openChat(model: ModelRef, options: ConversationOptions): number;
  ask(chat: number, question: string | Message, options: GenerateOptions): readonly Message[];
  release(id: number): void;
}

/** What comes one after another while a call is under way. */
export interface Items {
  train: StepMetrics;
  generate: string;
  ask: string;
}

/** Options of the engine's `openDevice`. */
export type EngineDeviceOptions = Omit<DeviceOptions, "choices" | "wait" | "onWarning">;

/** Options of the engine's `loadModel`; its device is the engine's. */
export type EngineLoadOptions = Omit<LoadOptions, "device">;

/** Options of the engine's `attach`. */
export interface EngineAttachOptions extends AttachOptions {
  /** Told where a beginning takes a while to compute. */
  onProgress?: (line: string) => void;
}

/** Options of the engine's `loadAdapter`. */
export type EngineAdapterOptions = SourceOptions & LoadAdapterOptions;

/** Asks for a call. Functions among the options, the last argument, stay behind: `callbacks` names them. */
export interface Request {
  readonly id: number;
  readonly call: keyof Calls;
  readonly args: readonly unknown[];
  readonly callbacks: readonly string[];
}

/** Says something to a call that is under way. */
export interface Control {
  readonly id: number;
  readonly control: "stop" | "pause" | "resume";
}

/** An error as it crosses. */
export interface ErrorGiven {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  /** Of a LoraError. */
  readonly kind?: string;
  readonly where?: string;
}

/** What the worker says: that it is there, or what becomes of a call. */
export type Reply =
  | { readonly ready: true }
  | { readonly id: number; readonly item: unknown }
  | { readonly id: number; readonly callback: string; readonly args: readonly unknown[] }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorGiven };

/** Either end of the line between a program and its engine: a Worker, what a worker calls `self`, or a MessagePort. */
export interface EnginePort {
  /** Sends a message, which is cloned. */
  postMessage(message: unknown, transfer?: Transferable[]): void;
  /** Told what the other end sends. */
  onmessage: ((event: MessageEvent) => void) | null;
}
