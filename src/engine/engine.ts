import type { ChatExample } from "../data/chat/chat-rows.ts";
import type { Message } from "../data/chat/messages.ts";
import type { InspectedRow } from "../data/inspect/inspect-data.ts";
import type { InspectedRows } from "../data/inspect/inspect-rows.ts";
import type { TrainingTask } from "../data/task-names.ts";
import type { DeviceInfo } from "../gpu/device.ts";
import type { SaveAdapterOptions } from "../load/adapter.ts";
import type { SourceOptions } from "../load/loaders.ts";
import type { HeadChoice } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import type { ConversationOptions } from "../train/conversation.ts";
import type { EvaluateOptions } from "../train/evaluate-rows.ts";
import type { GenerateOptions } from "../train/generate-text.ts";
import type { LossMapOptions, RowLosses } from "../train/loss-map.ts";
import type { TrainingPlan } from "../train/plan/plan-training.ts";
import type { TaskEvaluation, TaskRow } from "../train/tasks/tasks.ts";
import type { StepMetrics } from "../train/trainer.ts";
import { Items } from "./items.ts";
import type { Line, SentCall } from "./line.ts";
import type { Folder } from "./platform.ts";
import type {
  AdapterFacts,
  EngineAdapterOptions,
  EngineAttachOptions,
  EngineConvertOptions,
  EngineDeviceOptions,
  EngineInspectOptions,
  EngineLoadOptions,
  EngineMethod,
  EnginePlanOptions,
  EngineReference,
  EngineRows,
  EngineTrainOptions,
  ModelFacts,
  ModelRef,
  ModelSubject,
  RunEnd,
} from "./protocol.ts";

/** An adapter in the engine. */
export class EngineAdapter {
  /** What is known of it. */
  readonly facts: AdapterFacts;

  constructor(facts: AdapterFacts) {
    this.facts = facts;
  }
}

/** A model in the engine, for a task. */
export class EngineModel<H extends Task = "causal-lm"> {
  /** What is known of it. */
  readonly facts: ModelFacts<H>;
  /** What calls name it by. */
  readonly ref: ModelRef;

  constructor(facts: ModelFacts<H>, ref: ModelRef = { model: facts.id }) {
    this.facts = facts;
    this.ref = ref;
  }

  /** The same model through these adapters alone, for evaluation and generation. */
  withAdapters(adapters: readonly EngineAdapter[]): EngineModel<H> {
    return new EngineModel(this.facts, { ...this.ref, adapters: adapters.map(({ facts }) => facts.id) });
  }
}

/** A training run in the engine: it goes on whether its steps are read or not; a loop that is left stops it. */
export class EngineRun implements AsyncIterable<StepMetrics> {
  /** Told how it ended. @throws LoraError as `train` does */
  readonly ended: Promise<RunEnd>;
  readonly #steps: Items<StepMetrics>;
  readonly #call: SentCall<"train">;

  constructor(steps: Items<StepMetrics>, call: SentCall<"train">) {
    this.#steps = steps;
    this.#call = call;
    this.ended = call.result;
  }

  /** Holds the run after the steps that are under way, or before its first one, until {@link resume}. */
  pause(): void {
    this.#call.control("pause");
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    this.#call.control("resume");
  }

  /** Ends the run after the steps that are under way; what was learnt stays. */
  stop(): void {
    this.#call.control("stop");
  }

  /** The metrics of its steps. */
  [Symbol.asyncIterator](): AsyncIterator<StepMetrics> {
    return this.#steps[Symbol.asyncIterator]();
  }
}

/** A chat in the engine, as the library's `Conversation`. */
export class EngineChat {
  /** What was said until the last answer ended. */
  messages: readonly Message[];
  readonly #line: Line;
  readonly #id: number;

  constructor(line: Line, id: number, messages: readonly Message[]) {
    this.#line = line;
    this.#id = id;
    this.messages = messages;
  }

  /** Puts a question and yields the answer as it comes. @throws LoraError as `Conversation.ask` does */
  ask(question: string | Message, options: GenerateOptions = {}): AsyncIterable<string> {
    const pieces = new Items<string>();
    const call = this.#line.call("ask", [this.#id, question, options], (piece) => pieces.add(piece));
    pieces.endWith(
      call.result.then((messages) => {
        this.messages = messages;
      }),
      () => call.control("stop"),
    );
    return pieces;
  }

  /** Frees what the model has read of it. */
  async release(): Promise<void> {
    await this.#line.call("release", [this.#id]).result;
  }
}

/**
 * The library in a worker: the same functions with the same options, and handles in place of models and adapters. Whatever they
 * throw is the same LoraError. Functions among the options are called here; a `signal` ends a run, a text or an answer.
 */
export class Engine {
  readonly #line: Line;
  readonly #end: () => void;

  constructor(line: Line, end: () => void) {
    this.#line = line;
    this.#end = end;
  }

  /** Opens the engine's one device, which all its models share; `loadModel` does it where nobody has. */
  openDevice(options: EngineDeviceOptions = {}): Promise<DeviceInfo> {
    return this.#line.call("openDevice", [options]).result;
  }

  /** Downloads and checks a model's weights, so that they are in the cache. @throws LoraError as the library's `downloadModel` does */
  downloadModel(reference: EngineReference, options: SourceOptions = {}): Promise<void> {
    return this.#line.call("downloadModel", [reference, options]).result;
  }

  /** Loads a language model. @throws LoraError as the library's `loadModel` does */
  async loadModel(reference: EngineReference, options: EngineLoadOptions = {}): Promise<EngineModel> {
    return new EngineModel(await this.#line.call("loadModel", [reference, options]).result);
  }

  /**
   * Loads a model of any task, with the head that is asked for: `{ task: "sequence-classification", labels: ["no", "yes"] }`.
   * @throws LoraError as the library's `loadTaskModel` does
   */
  async loadTaskModel<H extends Task = Task>(
    reference: EngineReference,
    options: EngineLoadOptions & HeadChoice<H> = {},
  ): Promise<EngineModel<H>> {
    const facts = await this.#line.call("loadTaskModel", [reference, options]).result;
    return new EngineModel<H>(facts as ModelFacts<H>);
  }

  /**
   * Attaches a method to a model, by name: `{ method: "lora", r: 8, targetModules: "all-linear" }`. What begins from the weights, such as
   * PiSSA, is computed, too.
   * @throws LoraError as the library's `attach` and the method do
   */
  async attach(
    { ref }: EngineModel<Task>,
    method: EngineMethod,
    options: EngineAttachOptions = {},
  ): Promise<EngineAdapter> {
    return new EngineAdapter(await this.#line.call("attach", [ref.model, method, options]).result);
  }

  /** Puts a saved adapter on a model. @throws LoraError as the library's `loadAdapter` does */
  async loadAdapter(
    { ref }: EngineModel<Task>,
    reference: EngineReference,
    options: EngineAdapterOptions = {},
  ): Promise<EngineAdapter> {
    return new EngineAdapter(await this.#line.call("loadAdapter", [ref.model, reference, options]).result);
  }

  /** Takes an adapter off its model's list, or puts it there. */
  enable({ facts }: EngineAdapter, on: boolean): Promise<void> {
    return this.#line.call("enable", [facts.id, on]).result;
  }

  /** Writes PEFT's files into a folder. @throws LoraError as the library's `saveAdapter` does */
  saveAdapter({ facts }: EngineAdapter, folder: Folder, options: SaveAdapterOptions = {}): Promise<void> {
    return this.#line.call("saveAdapter", [facts.id, folder, options]).result;
  }

  /** The same files by their names, for a download. */
  adapterFiles(
    { facts }: EngineAdapter,
    options: SaveAdapterOptions = {},
  ): Promise<ReadonlyMap<string, Blob>> {
    return this.#line.call("adapterFiles", [facts.id, options]).result;
  }

  /**
   * The adapter for other programs, as the library's `convertAdapter` writes it; as GGUF it is `adapter.gguf`.
   * @throws LoraError as that does
   */
  convertAdapter(
    { facts }: EngineAdapter,
    options: EngineConvertOptions,
  ): Promise<ReadonlyMap<string, Blob>> {
    return this.#line.call("convertAdapter", [facts.id, options]).result;
  }

  /**
   * Plans a run: what memory it would take on the engine's device, and what would fit.
   * @param model one that is loaded, as it was loaded, or what `loadModel` would be given
   * @throws LoraError as the library's `planTraining` does
   */
  planTraining(
    model: EngineModel<Task> | EngineReference,
    options: EnginePlanOptions = {},
  ): Promise<TrainingPlan> {
    return this.#line.call("planTraining", [subjectOf(model), options]).result;
  }

  /**
   * Looks at rows as a model will read them.
   * @param model one that is loaded, or what `loadModel` would be given: of that its tokenizer is read
   * @throws LoraError as the library's `inspectData` does
   */
  inspectData(
    model: EngineModel<Task> | EngineReference,
    rows: EngineRows<InspectedRow>,
    options: EngineInspectOptions = {},
  ): Promise<InspectedRows> {
    return this.#line.call("inspectData", [subjectOf(model), rows, options]).result;
  }

  /**
   * Trains an adapter, for the task that the model was loaded for or for `task`. The run goes on by itself where the device is lost, on another one, to the same bytes; with `keep` also where the
   * program ends.
   * @param rows themselves, or files, which are read and tokenised as they are needed
   */
  train<H extends Task, T extends TrainingTask = H>(
    { ref }: EngineModel<H>,
    { facts }: EngineAdapter,
    rows: EngineRows<TaskRow<T>>,
    options: EngineTrainOptions<T> = {},
  ): EngineRun {
    const steps = new Items<StepMetrics>();
    const asked = options as unknown as EngineTrainOptions<TrainingTask>;
    const call = this.#line.call("train", [ref, facts.id, rows, asked], (step) => steps.add(step));
    steps.endWith(call.result, () => call.control("stop"));
    return new EngineRun(steps, call);
  }

  /** How a model does on rows of a task. @throws LoraError as the library's `evaluate` does */
  evaluate<H extends Task, T extends TrainingTask = H>(
    { ref }: EngineModel<H>,
    rows: EngineRows<TaskRow<T>>,
    options: EvaluateOptions<T> = {},
  ): Promise<TaskEvaluation<T>> {
    const asked = options as EvaluateOptions<TrainingTask>;
    return this.#line.call("evaluate", [ref, rows, asked]).result as Promise<TaskEvaluation<T>>;
  }

  /** What each token of rows costs the model. @throws LoraError as the library's `lossMap` does */
  lossMap(
    { ref }: EngineModel,
    rows: EngineRows,
    options: LossMapOptions = {},
  ): Promise<readonly RowLosses[]> {
    return this.#line.call("lossMap", [ref, rows, options]).result;
  }

  /** Continues a text or answers a chat, piece by piece. @throws LoraError as the library's `generate` does */
  generate(
    { ref }: EngineModel,
    prompt: string | ChatExample,
    options: GenerateOptions & { signal?: AbortSignal } = {},
  ): AsyncIterable<string> {
    const pieces = new Items<string>();
    const call = this.#line.call("generate", [ref, prompt, options], (piece) => pieces.add(piece));
    pieces.endWith(call.result, () => call.control("stop"));
    return pieces;
  }

  /** Begins a chat that goes on. @throws LoraError as the library's `Conversation` does */
  async chat({ ref }: EngineModel, options: ConversationOptions = {}): Promise<EngineChat> {
    const id = await this.#line.call("openChat", [ref, options]).result;
    return new EngineChat(this.#line, id, options.messages ?? []);
  }

  /** Frees a model with its adapters, or an adapter. */
  async release(thing: EngineModel<Task> | EngineAdapter): Promise<void> {
    await this.#line.call("release", [thing.facts.id]).result;
  }

  /** Ends the worker, and with it all that is under way. */
  close(): void {
    this.#line.break("the engine was closed");
    this.#end();
  }
}

function subjectOf(model: EngineModel<Task> | EngineReference): ModelSubject {
  return model instanceof EngineModel ? model.ref : model;
}
