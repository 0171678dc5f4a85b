// A run that goes on by itself, with the device lost at any moment of it: it ends with the bytes of the run that nobody disturbed.
import { createHash } from "node:crypto";
import type { Adapter } from "../../src/adapters/adapter.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import { openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import type { BeginTraining } from "../../src/train/losses.ts";
import { Run } from "../../src/train/run.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { attachTo, countCalls, type Loss, type Subject } from "./moments.ts";

/** Steps of a run. */
const STEPS = 8;

/** What a run has left. */
export interface Trace {
  /** Calls of WebGPU behind the loading of the model. */
  readonly calls: number;
  /** Each thing that is told, in order: steps with their losses, evaluations, checkpoints with the digests of their states. */
  readonly told: readonly string[];
  /** Digest of the final parameters. */
  readonly adapter: string;
  /** How often the device was lost. */
  readonly losses: number;
}

/** Dropout, accumulation, evaluations and checkpoints: all that a step depends on. */
const OPTIONS: TrainerOptions = {
  maxSteps: STEPS,
  batchSize: 2,
  gradientAccumulationSteps: 2,
  learningRate: 1e-2,
  seed: 5,
  warmupSteps: 3,
};

/**
 * Trains, and loses the device at one of its calls.
 * @param at the call, from 0; none where it is undefined
 */
export async function recoveredRun(
  { folder, sequences }: Subject,
  options: TrainerOptions = {},
  at?: number,
  loss?: Loss,
): Promise<Trace> {
  const told: string[] = [];
  let calls = 0;
  let losses = 0;
  let live: { device: Device; adapter: Adapter; begin: BeginTraining; judge(): Promise<number> } | undefined;
  const open = async (): Promise<BeginTraining> => {
    live?.device.close();
    loss?.after?.();
    const device = await openNodeDevice();
    const model = await openModel(folderFiles(folder), device);
    const adapter = attachTo(model, 0.1);
    countCalls(device, () => {
      if (calls++ !== at) return;
      if (at % 2 === 0) loss?.lose(device);
      else setTimeout(() => loss?.lose(device), 1); // while the run waits for something
    });
    const begin: BeginTraining = (given) =>
      trainSequences(model, adapter.parameters, sequences, { ...OPTIONS, ...options, ...given });
    live = { device, adapter, begin, judge: async () => (await evaluate(model, sequences)).loss };
    return begin;
  };
  let adapter = "";
  const run = new Run(await open(), {
    evalSteps: 3,
    async evaluate(step) {
      const loss = (await live?.judge()) ?? Number.NaN;
      told.push(`evaluated ${step}: ${loss}`);
      return { loss };
    },
    saveSteps: 2,
    async save(state, best) {
      told.push(`saved ${state.step}: ${digestOf(state)}, best ${best?.step}`);
    },
    onStep: ({ step, loss, learningRate, trainedTerms }) =>
      void told.push(`step ${step}: ${[loss, learningRate, trainedTerms]}`),
    async finish() {
      adapter = digest([new Uint8Array((await live?.adapter.parameters.flat.read())?.buffer ?? [])]);
    },
    recover() {
      losses++;
      return open();
    },
  });
  try {
    await run.start();
  } finally {
    loss?.after?.();
    live?.device.close();
  }
  return { calls, told, adapter, losses };
}

/** What is other than in the whole run; empty where all is as it should be. */
export function differences(whole: Trace, got: Trace): string[] {
  const others = whole.told.flatMap((line, i) =>
    line === got.told[i] ? [] : [`${got.told[i]}, not ${line}`],
  );
  const more = got.told.slice(whole.told.length).map((line) => `${line} was told, too`);
  return [...others, ...more, ...(whole.adapter === got.adapter ? [] : ["the adapter is another"])];
}

function digestOf({ tensors, ...about }: RunState): string {
  return digest([JSON.stringify(about), ...[...tensors].flatMap(([name, { data }]) => [name, data])]);
}

function digest(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}
