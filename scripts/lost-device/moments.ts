// One run, and the same run with the device lost at any moment of it: at each call of WebGPU that it makes.
import { createHash } from "node:crypto";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Sequence } from "../../src/data/sequence.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { FileContent } from "../../src/io/files/files.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { LoraError } from "../../src/util/fail.ts";

/** Steps of a run. */
export const STEPS = 6;
const EVALUATED = 3;

/** What is trained, on what. */
export interface Subject {
  readonly folder: string;
  readonly sequences: readonly Sequence[];
}

/** How a device is lost; `after` it is undone, where it must be. */
export interface Loss {
  lose(device: Device): void;
  after?(): void;
}

/** A run that nothing disturbed. */
export interface WholeRun {
  /** For each call of WebGPU, what the run was doing. */
  readonly phases: readonly string[];
  /** The adapter's file after each step, hashed; the first is the one before any step. */
  readonly states: readonly string[];
}

/** How a run ended whose device was lost. */
export interface Ending {
  /** What the run was doing. */
  readonly phase: string;
  /** Steps that had finished. */
  readonly finished: number;
  /** The step whose adapter was saved; undefined where there was none to be saved. */
  readonly kept: number | undefined;
  /** What is wrong with that; empty where all is as it should be. */
  readonly problems: readonly string[];
}

/** The run as it should be. Looking at each step's adapter takes calls, too, so they are counted in another run. */
export async function wholeRun(subject: Subject): Promise<WholeRun> {
  const phases: string[] = [];
  const states: string[] = [];
  const counted = startRun(subject, (phase) => phases.push(phase));
  await counted.toEnd();
  const watched = startRun(subject, () => {});
  await watched.toEnd((state) => states.push(state));
  for (const { device } of [counted, watched]) device?.close();
  return { phases, states };
}

/** Calls to lose the device at: as many in each phase, spread over it. */
export function moments({ phases }: WholeRun, count: number): number[] {
  const names = [...new Set(phases)];
  return Array.from({ length: count }, (_, i) => {
    const calls = phases.flatMap((phase, at) => (phase === names[i % names.length] ? [at] : []));
    const share = (Math.floor(i / names.length) + 0.5) / Math.ceil(count / names.length);
    return calls[Math.floor(share * calls.length)] as number;
  }).sort((a, b) => a - b);
}

/** The run with the device lost at one of its calls; what can be saved then is saved, and compared with the whole run. */
export async function lostRun(subject: Subject, whole: WholeRun, at: number, loss: Loss): Promise<Ending> {
  let calls = 0;
  let lostIn: string | undefined;
  const run = startRun(subject, (phase, device) => {
    if (calls++ !== at) return;
    lostIn = phase;
    if (at % 2 === 0) loss.lose(device);
    else setTimeout(() => loss.lose(device), 1); // while the run waits for something
  });
  const error: unknown = await run.toEnd().then(
    () => undefined,
    (reason) => reason,
  );
  // A run may make some calls fewer than another: how often the adapter is copied depends on the time.
  const problems = lostIn === undefined ? [] : [...describeError(error, lostIn)];
  const { kept, state } = await run.save().catch((reason) => {
    if (run.finished > 0) problems.push(`after ${run.finished} steps nothing could be saved: ${reason}`);
    return { kept: undefined, state: undefined };
  });
  if (kept !== undefined && state !== whole.states[kept])
    problems.push(`what was saved is not the adapter of step ${kept}`);
  if (kept !== undefined && kept > run.finished) problems.push(`step ${kept} had not finished`);
  loss.after?.();
  run.device?.close(); // what a lost device holds is freed by that alone
  return { phase: lostIn ?? "the end", finished: run.finished, kept, problems };
}

function* describeError(error: unknown, phase: string): Generator<string> {
  // The last calls may be over before the loss comes.
  if (error === undefined) yield* phase === "saving" ? [] : ["the run did not notice"];
  else if (!(error instanceof LoraError)) yield `a raw error: ${error}`;
  else if (error.kind !== "device-lost") yield `an error of another kind: ${error.message}`;
}

type OnCall = (phase: string, device: Device) => void;

function startRun({ folder, sequences }: Subject, onCall: OnCall) {
  let adapter: ReturnType<typeof attachTo> | undefined;
  const run = {
    device: undefined as Device | undefined,
    finished: 0,
    async toEnd(onState?: (state: string) => void): Promise<void> {
      let phase = "loading";
      const device = await openNodeDevice();
      run.device = device;
      countCalls(device, () => onCall(phase, device));
      const model = await openModel(folderFiles(folder), device);
      phase = "attaching";
      adapter = attachTo(model);
      onState?.(hash(await adapterFiles(adapter)));
      const options = { maxSteps: STEPS, batchSize: 2, learningRate: 1e-2, seed: 5 };
      phase = "step 1";
      for await (const { step } of trainSequences(model, adapter.parameters, sequences, options)) {
        run.finished = step;
        onState?.(hash(await adapterFiles(adapter)));
        phase = "evaluating";
        if (step === EVALUATED) await evaluate(model, sequences);
        phase = `step ${step + 1}`;
      }
      phase = "saving";
      await adapterFiles(adapter);
      await device.check(); // saving itself does without the device
    },
    async save() {
      if (!adapter) throw new Error("there is no adapter yet");
      const state = hash(await adapterFiles(adapter));
      return { kept: adapter.parameters.mirror?.newest?.step, state };
    },
  };
  return run;
}

/** An adapter, always the same. */
export const attachTo = (model: Parameters<typeof attach>[0], dropout = 0) =>
  attach(model, lora({ r: 4, alpha: 8, dropout, targetModules: ["q_proj", "down_proj"] }), { seed: 3 });

/** Tells of every call by which the engine makes, fills, computes or waits for something. */
export function countCalls({ gpu }: Device, onCall: () => void): void {
  const before = <T extends object>(object: T, name: keyof T & string) => {
    const call = (object[name] as (...words: unknown[]) => unknown).bind(object);
    Object.assign(object, {
      [name]: (...words: unknown[]) => {
        onCall();
        return call(...words);
      },
    });
  };
  before(gpu, "createBuffer");
  before(gpu, "createBindGroup");
  before(gpu, "createComputePipeline");
  before(gpu, "createCommandEncoder");
  before(gpu.queue, "submit");
  before(gpu.queue, "writeBuffer");
  before(gpu.queue, "onSubmittedWorkDone");
}

function hash(files: ReadonlyMap<string, FileContent>): string {
  return createHash("sha256")
    .update(files.get("adapter_model.safetensors") as Uint8Array)
    .digest("hex");
}
