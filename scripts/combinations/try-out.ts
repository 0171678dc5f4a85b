import { isDeepStrictEqual } from "node:util";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { startLora } from "../../src/adapters/lora/initial/start-lora.ts";
import { isLora } from "../../src/adapters/lora/lora.ts";
import { METHODS } from "../../src/adapters/methods.ts";
import type { Device } from "../../src/gpu/device.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import type { Task } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import type { TrainState } from "../../src/train/state.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { readJsonFile, readTensors } from "../../test/support/fixtures.ts";
import { type TaskCase, type TaskGolden, taskCase } from "../../test/support/task-fixtures.ts";
import { type Drawn, fixturePath } from "./draw.ts";

const STEPS = 4;

/** Trains a combination and says what it breaks of what every run promises. @throws LoraError where it is refused */
export async function tryOut(device: Device, drawn: Drawn): Promise<string[]> {
  // The first run leaves tables that later ones share.
  const first = await leftBy(device, drawn);
  if (first.bytes === 0) return first.broke;
  const { bytes, broke } = await leftBy(device, drawn);
  return bytes === 0 ? broke : [...broke, `${bytes} bytes more stay on the device after each run`];
}

async function leftBy(device: Device, drawn: Drawn): Promise<{ bytes: number; broke: string[] }> {
  const before = device.memory.stats.used;
  const broke = await withModel(device, drawn);
  return { bytes: device.memory.stats.used - before, broke };
}

async function withModel(device: Device, drawn: Drawn): Promise<string[]> {
  const golden = readJsonFile<TaskGolden>(fixturePath(drawn.golden), "golden.json");
  const files = folderFiles(fixturePath(drawn.fixture));
  const task: Task = golden.task ?? "causal-lm";
  const model = await openTaskModel(files, device, { ...drawn.open, task });
  try {
    const pixels =
      task === "image-classification"
        ? await readTensors(fixturePath(drawn.golden), "golden.safetensors")
        : new Map();
    return await promisesBroken(model, drawn, taskCase(model, golden, pixels));
  } finally {
    model.release();
  }
}

async function promisesBroken(model: LoadedModel, drawn: Drawn, given: TaskCase): Promise<string[]> {
  const broke: string[] = [];
  const whole = await trained(model, drawn, given);
  if (!whole.losses.every(Number.isFinite)) broke.push(`losses ${whole.losses}`);
  const resumed = await trained(model, drawn, given, whole.state);
  if (!isDeepStrictEqual(resumed.parameters, whole.parameters))
    broke.push("a resumed run comes to other bytes");
  const loaded = await loadAdapter(model, memoryFiles("adapter", whole.files), {
    onWarning: (warning) => broke.push(`a loaded adapter warns: ${warning}`),
  });
  const error = farthest(whole.logits, await given.logits());
  loaded.release();
  if (!(error < 1e-5)) broke.push(`a loaded adapter's logits differ by ${error}`);
  return broke;
}

/** What a run came to. */
interface Trained {
  readonly parameters: Float32Array;
  readonly logits: Float32Array;
  readonly files: Map<string, Uint8Array>;
  readonly losses: readonly number[];
  /** Behind half of the steps. */
  readonly state: RunState | undefined;
}

async function trained(
  model: LoadedModel,
  drawn: Drawn,
  given: TaskCase,
  resume?: RunState,
): Promise<Trained> {
  const adapter = attach(model, await methodOf(model, drawn), { seed: 7 });
  try {
    let live: TrainState | undefined;
    let state: RunState | undefined;
    const losses: number[] = [];
    const run = trainObjective(given.objective, adapter.parameters, given.items, {
      ...drawn.train,
      maxSteps: STEPS,
      onStart: (started) => {
        live = started;
      },
      settleAfter: (step) => step === STEPS / 2,
      ...(resume && { resume }),
    });
    for await (const { step, loss } of run) {
      losses.push(loss);
      if (step === STEPS / 2 && !resume) state = await live?.capture();
    }
    const parameters = await adapter.parameters.flat.read();
    return { parameters, logits: await given.logits(), files: await bytesOf(adapter), losses, state };
  } finally {
    adapter.release();
  }
}

async function methodOf(model: LoadedModel, { method: name, methodOptions }: Drawn) {
  const kind = METHODS.find((known) => known.name === name);
  if (!kind) throw new Error(`no method ${name}`);
  const method = kind.make(methodOptions as never);
  return isLora(method) ? startLora(model, method) : method;
}

async function bytesOf(adapter: Adapter): Promise<Map<string, Uint8Array>> {
  const bytes = new Map<string, Uint8Array>();
  for (const [name, content] of await adapterFiles(adapter)) {
    bytes.set(
      name,
      typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array),
    );
  }
  return bytes;
}

/** Relative to the largest. */
function farthest(wanted: Float32Array, got: Float32Array): number {
  const most = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  return wanted.reduce((far, value, i) => Math.max(far, Math.abs(value - (got[i] as number))), 0) / most;
}
