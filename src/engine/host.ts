import type { Adapter } from "../adapters/adapter.ts";
import type { TrainingTask } from "../data/task-names.ts";
import { adapterFiles } from "../load/adapter.ts";
import type { LoadedModel } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import { type EvaluateOptions, evaluate } from "../train/evaluate-rows.ts";
import { generate } from "../train/generate-text.ts";
import { lossMap } from "../train/loss-map.ts";
import type { Run } from "../train/run.ts";
import type { TaskEvaluation } from "../train/tasks/tasks.ts";
import { fail } from "../util/fail.ts";
import { asBlobs } from "./as-blobs.ts";
import { givenError } from "./errors.ts";
import { Handles } from "./handles.ts";
import type { EnginePlatform } from "./platform.ts";
import type {
  AdapterFacts,
  AnyRows,
  Calls,
  Control,
  EnginePort,
  ModelFacts,
  Reply,
  Request,
} from "./protocol.ts";
import { readRowsGiven, taskOf } from "./rows.ts";
import { runTraining } from "./training.ts";

/** A call that is under way in the worker. */
interface ServedCall {
  readonly signal: AbortSignal;
  /** Sends what comes one after another. */
  emit(item: unknown): void;
  /** The run of the call, which can be held. */
  run?: Run;
  /** Whether the run is to be held, which may be asked for before there is one. */
  isHeld?: boolean;
}

type Handlers = {
  readonly [K in keyof Calls]: (
    call: ServedCall,
    ...args: Parameters<Calls[K]>
  ) => Promise<ReturnType<Calls[K]>> | ReturnType<Calls[K]>;
};

/** Answers the calls of a program at the other end of a port: what runs in the worker. */
export function serveEngine(port: EnginePort, platform: EnginePlatform): void {
  const handlers = handlersOf(platform, new Handles(platform));
  const underWay = new Map<number, ServedCall & { stop(): void }>();
  const say = (reply: Reply) => port.postMessage(reply);
  const answer = async ({ id, call, args, callbacks }: Request) => {
    const stopping = new AbortController();
    const own = {
      signal: stopping.signal,
      emit: (item: unknown) => say({ id, item }),
      stop: () => stopping.abort(),
    };
    underWay.set(id, own);
    try {
      if (!Object.hasOwn(handlers, call)) fail("engine", `there is no call ${String(call)}`);
      const handler = handlers[call] as (call: ServedCall, ...args: readonly unknown[]) => unknown;
      const called = callbacks.map((name) => [
        name,
        (...args: readonly unknown[]) => say({ id, callback: name, args }),
      ]);
      const options =
        called.length > 0 ? [Object.assign({}, args.at(-1), Object.fromEntries(called))] : args.slice(-1);
      say({ id, value: await handler(own, ...args.slice(0, -1), ...options) });
    } catch (error) {
      say({ id, error: givenError(error) });
    } finally {
      underWay.delete(id);
    }
  };
  port.onmessage = ({ data }) => {
    if (!("control" in data)) return void answer(data as Request);
    const { id, control } = data as Control;
    const call = underWay.get(id);
    if (!call) return;
    if (control === "stop") return call.stop();
    call.isHeld = control === "pause";
    call.run?.[control]();
  };
  say({ ready: true });
}

function handlersOf(platform: EnginePlatform, handles: Handles): Handlers {
  return {
    openDevice: async (_, options) => (await handles.openDevice(options)).info,
    downloadModel: async (call, reference, options) =>
      (await import("../load/model-downloader.ts")).modelDownloader(platform)(
        await handles.source(reference),
        stoppable(call, options),
      ),
    loadModel: async (call, reference, options) =>
      modelFacts(...(await handles.loadModel(reference, stoppable(call, options)))),
    loadTaskModel: async (call, reference, options) =>
      modelFacts(...(await handles.loadTaskModel(reference, stoppable(call, options)))),
    attach: async (_, model, method, options) => {
      const { onProgress = () => {}, ...rest } = options;
      return adapterFacts(...(await handles.attach(model, method, rest, onProgress)));
    },
    loadAdapter: async (call, model, reference, options) =>
      adapterFacts(...(await handles.loadAdapter(model, reference, stoppable(call, options)))),
    enable: (_, adapter, on) => handles.adapter(adapter).live.enable(on),
    saveAdapter: (_, adapter, folder, options) =>
      platform.saveAdapter(handles.adapter(adapter).live, folder, options),
    adapterFiles: async (_, adapter, options) =>
      asBlobs(await adapterFiles(handles.adapter(adapter).live, options)),
    convertAdapter: async (_, adapter, options) =>
      asBlobs(await (await import("./convert.ts")).convertAdapter(handles, adapter, options)),
    planTraining: async (call, model, options) =>
      (await import("./look.ts")).planTraining(platform, handles, model, stoppable(call, options)),
    inspectData: async (call, model, rows, options) =>
      (await import("./look.ts")).inspectRowsGiven(platform, handles, model, rows, stoppable(call, options)),
    train: (call, model, adapter, rows, options) =>
      runTraining(
        platform,
        handles,
        { model, adapter, rows, options },
        {
          signal: call.signal,
          emit: call.emit,
          onRun: (run) => {
            call.run = run;
            if (call.isHeld) run.pause();
          },
        },
      ),
    evaluate: async (_, model, rows, options) => evaluateRows(handles.model(model), rows, options),
    lossMap: async (_, model, rows, options) =>
      lossMap(handles.languageModel(model), await readRowsGiven(rows, "causal-lm"), options),
    generate: (call, model, prompt, options) =>
      pour(call, generate(handles.languageModel(model), prompt, options)),
    openChat: (_, model, options) => handles.openChat(model, options),
    ask: async (call, id, question, options) => {
      const chat = handles.chat(id);
      await pour(call, chat.ask(question, options));
      return chat.messages;
    },
    release: (_, id) => handles.release(id),
  };
}

/** Options by which a download ends with its call. */
const stoppable = <T extends object>({ signal }: ServedCall, options: T): T => ({ ...options, signal });

/** Sends pieces as they come, until nobody wants more. */
async function pour({ signal, emit }: ServedCall, pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of pieces) {
    emit(piece);
    if (signal.aborted) break;
  }
}

async function evaluateRows(
  model: LoadedModel,
  rows: AnyRows,
  options: EvaluateOptions<TrainingTask>,
): Promise<TaskEvaluation<TrainingTask>> {
  const given = await readRowsGiven(rows, taskOf(model, options));
  return evaluate<Task, TrainingTask>(model, given, options);
}

function modelFacts<H extends Task>(id: number, model: LoadedModel & { readonly task: H }): ModelFacts<H> {
  const { name, task, defaultTargets, config } = model;
  const labels = "labels" in model && { labels: model.labels };
  return { id, name, task, ...labels, defaultTargets, config: JSON.parse(JSON.stringify(config)) };
}

function adapterFacts(id: number, { name, method, parameters }: Adapter): AdapterFacts {
  const count = parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
  return { id, name, type: method.type, parameters: count };
}
