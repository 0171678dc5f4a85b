// A training in a page that loses its device and goes on: the library comes as an argument.
import type {
  Adapter,
  adapterFiles,
  attach,
  BeginTraining,
  Device,
  Lora,
  loadModel,
  lora,
  openDevice,
  Run,
  trainSequences,
} from "../../src/index.web.ts";

/** What it needs of the package. */
export interface Library {
  openDevice: typeof openDevice;
  loadModel: typeof loadModel;
  attach: typeof attach;
  lora: typeof lora;
  trainSequences: typeof trainSequences;
  adapterFiles: typeof adapterFiles;
  Run: typeof Run;
}

/** What the run was told of the loss, and how it ended. */
export interface LostInPage {
  kind: string;
  message: string;
  /** Steps that had been told by then. */
  finished: number;
  /** The step of which the files are that could be saved then … */
  kept: number | undefined;
  /** … and the step of the undisturbed run whose files are the same; −1 where none is. */
  same: number;
  /** Every step that was told, once it went on. */
  steps: number[];
  /** The step of the undisturbed run whose files are those that it has come to; −1 where none is. */
  end: number;
}

interface OnDevice {
  device: Device;
  adapter: Adapter<Lora>;
  begin: BeginTraining;
}

const STEPS = 8;
const LOST_AFTER = 4;

/** Trains, loses the device once and goes on, and compares what could be saved with an undisturbed run. */
export async function lostInPage(
  library: Library,
  reference: string,
  lose: (device: Device) => unknown,
): Promise<LostInPage> {
  const states = await undisturbed(library, reference);
  const steps: number[] = [];
  const seen = { kind: "none", message: "it was not noticed", finished: 0, kept: 0 as number | undefined };
  let same = -1;
  let live = await open(library, reference);
  const run = new library.Run(live.begin, {
    async onStep({ step }) {
      steps.push(step);
      if (step === LOST_AFTER) await lose(live.device);
    },
    async recover({ error: { kind, message } }) {
      same = states.indexOf(await weights(library, live.adapter));
      const kept = live.adapter.parameters.mirror?.newest?.step;
      Object.assign(seen, { kind, message, finished: steps.length, kept });
      live.device.close();
      live = await open(library, reference);
      return live.begin;
    },
  });
  await run.start();
  const end = states.indexOf(await weights(library, live.adapter));
  live.device.close();
  return { ...seen, same, steps, end };
}

/** The adapter's weights before the first step, and behind each. */
async function undisturbed(library: Library, reference: string): Promise<string[]> {
  const { device, adapter, begin } = await open(library, reference);
  const states = [await weights(library, adapter)];
  for await (const _ of begin({})) states.push(await weights(library, adapter));
  device.close();
  return states;
}

async function open(library: Library, reference: string): Promise<OnDevice> {
  const device = await library.openDevice();
  const model = await library.loadModel(reference, { device });
  const method = library.lora({ r: 4, targetModules: model.defaultTargets });
  const adapter = library.attach(model, method, { seed: 1 });
  const sequences = [9, 14, 6, 21].map((length) => {
    const inputIds = Array.from({ length }, (_, at) => (3 + 5 * at) % model.config.vocabSize);
    return { inputIds, labels: inputIds };
  });
  const options = { maxSteps: STEPS, batchSize: 2, learningRate: 5e-3, seed: 1 };
  const begin: BeginTraining = (given) =>
    library.trainSequences(model, adapter.parameters, sequences, { ...options, ...given });
  return { device, adapter, begin };
}

async function weights(library: Library, adapter: Adapter<Lora>): Promise<string> {
  const files = await library.adapterFiles(adapter);
  return String(files.get("adapter_model.safetensors"));
}
