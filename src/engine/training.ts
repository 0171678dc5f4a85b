import type { TrainingTask } from "../data/task-names.ts";
import type { RunNotes, RunState } from "../io/formats/run-state.ts";
import { baseDigest } from "../load/base-digest.ts";
import type { Task } from "../models/model.ts";
import type { BeginTraining } from "../train/losses.ts";
import { Run } from "../train/run.ts";
import { train } from "../train/text.ts";
import { LoraError, messageOf } from "../util/fail.ts";
import { isObject, type JsonObject } from "../util/json.ts";
import { checkOptions, number, type Rules, required, words } from "../util/options.ts";
import { compileAhead } from "./compile-ahead.ts";
import type { Handles } from "./handles.ts";
import { type OpenedRun, openRun, rowsDigest } from "./kept-run.ts";
import type { EnginePlatform } from "./platform.ts";
import type { AnyRows, EngineTrainOptions, KeptRun, ModelRef, RunEnd } from "./protocol.ts";
import { readRowsGiven, taskOf } from "./rows.ts";

/** Seconds between two checkpoints: with the step that is under way, and the writing, at most 30 are lost. */
const SECONDS = 20;

/** Between two questions for a device that is not there yet. */
const ASK_EVERY_MS = 1000;

const KEEP_RULES: Rules<KeptRun> = { folder: required(words("output_dir")), seconds: number({ min: 0 }) };

/** What a run in the worker is about. */
export interface RunGiven {
  readonly model: ModelRef;
  readonly adapter: number;
  readonly rows: AnyRows;
  readonly options: EngineTrainOptions<TrainingTask>;
}

/** Who watches it, and may hold it. */
export interface RunWatcher {
  readonly signal: AbortSignal;
  emit(item: unknown): void;
  /** Given the run before its first step. */
  onRun(run: Run): void;
}

/** Trains an adapter of the engine; where the device is lost it goes on, on another one, with all that was on it. */
export async function runTraining(
  platform: EnginePlatform,
  handles: Handles,
  given: RunGiven,
  { signal, emit, onRun }: RunWatcher,
): Promise<RunEnd> {
  const { keep, onLoss, onWarning, onCompile, ...options } = given.options;
  if (keep !== undefined) checkOptions("train: keep", keep, KEEP_RULES);
  const target = handles.adapter(given.adapter);
  const rows = await readRowsGiven(given.rows, taskOf(handles.model(given.model), options));
  const kept = keep && (await openKept(platform, handles, given, keep.folder));
  const begin: BeginTraining = (more) =>
    train<Task, TrainingTask>(handles.model(given.model), target.live, rows, {
      ...options,
      ...(kept?.state && { resume: kept.state }),
      ...more,
    });
  try {
    if (onCompile) await compileAhead(handles, given, rows, options, onCompile);
    const save = async (state: RunState) => {
      await kept
        ?.save(state)
        .catch((error) => onWarning?.(`not saved, the run goes on: ${messageOf(error)}`));
    };
    const run = new Run(begin, {
      signal,
      onStep: emit,
      ...(keep && { saveSeconds: keep.seconds ?? SECONDS, save }),
      async recover({ error, step, state, attempt }) {
        const news = { message: error.message, step, attempt };
        onLoss?.({ ...news, waits: false });
        await whenThere(() => handles.reopen(target), {
          signal,
          milliseconds: platform.comebackMs ?? 0,
          async onWait() {
            if (state) await save(state); // whoever cannot wait begins anew from there
            onLoss?.({ ...news, waits: true });
          },
        });
        return begin;
      },
    });
    onRun(run);
    await run.start();
    const step = run.last?.step ?? kept?.state?.step ?? 0;
    return { step, stopped: run.last ? step < run.last.totalSteps : signal.aborted };
  } finally {
    kept?.close();
  }
}

/** How a device is waited for that is not there yet. */
interface Waiting {
  readonly signal: AbortSignal;
  /** So long at most. */
  readonly milliseconds: number;
  /** Told once where it has to be waited for. */
  onWait(): Promise<void>;
}

/** Opens a device as soon as there is one. @throws LoraError as `open` does; of kind `no-adapter` where there is none for too long */
async function whenThere(
  open: () => Promise<void>,
  { signal, milliseconds, onWait }: Waiting,
): Promise<void> {
  const started = performance.now();
  for (let isTold = false; ; isTold = true) {
    try {
      return await open();
    } catch (error) {
      const isAbsent = error instanceof LoraError && error.kind === "no-adapter";
      if (!isAbsent || signal.aborted || performance.now() - started >= milliseconds) throw error;
    }
    if (!isTold) await onWait();
    await new Promise((passed) => setTimeout(passed, ASK_EVERY_MS));
  }
}

/** Opens the folder of a run, which goes on only with the same base, rows and settings. */
async function openKept(
  platform: EnginePlatform,
  handles: Handles,
  { model, adapter, rows, options }: RunGiven,
  folder: string,
): Promise<OpenedRun> {
  const { keep: _, ...rest } = options;
  const { files, device } = handles.model(model);
  const notes: RunNotes = {
    settings: { ...plain(rest), adapter: handles.adapter(adapter).origin },
    identity: {
      base: files ? await baseDigest(files, platform.hash) : "none",
      data: await rowsDigest(rows, platform.hash),
    },
    versions: { device: device.info.name },
  };
  return openRun(platform, folder, notes);
}

/** Settings without functions, as a file can have them. */
function plain(options: object): JsonObject {
  const json: unknown = JSON.parse(JSON.stringify(options));
  return isObject(json) ? json : {};
}
