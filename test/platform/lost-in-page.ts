// A training in a page that loses its device: the library comes as an argument.
import type {
  Adapter,
  adapterFiles,
  attach,
  Device,
  Lora,
  LoraError,
  loadModel,
  lora,
  openDevice,
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
}

/** How it ended. */
export interface LostInPage {
  kind: string;
  message: string;
  /** Steps that had finished. */
  finished: number;
  /** The step of which the files are. */
  kept: number | undefined;
  /** The step of an undisturbed run whose files are the same; −1 where none is. */
  same: number;
}

const STEPS = 8;
const LOST_AFTER = 4;

/** Trains twice, the second time without the device after some steps, and compares what can be saved then. */
export async function lostInPage(
  library: Library,
  reference: string,
  lose: (device: Device) => unknown,
): Promise<LostInPage> {
  const states: string[] = [];
  const undisturbed = await library.openDevice();
  await run(library, reference, undisturbed, async (adapter) => {
    states.push(await weights(library, adapter));
  });
  undisturbed.close();
  const device = await library.openDevice();
  let finished = 0;
  let adapter: Adapter<Lora> | undefined;
  const error = await run(library, reference, device, async (trained, step) => {
    adapter = trained;
    finished = step;
    if (step === LOST_AFTER) await lose(device);
  }).catch((reason: LoraError) => reason);
  const { kind = "none", message = "it was not noticed" } = error ?? {};
  const saved = adapter ? await weights(library, adapter) : "";
  const kept = adapter?.parameters.mirror?.newest?.step;
  return { kind, message, finished, kept, same: states.indexOf(saved) };
}

/** Calls `onStep` before the first step, with step 0, and after each. */
async function run(
  library: Library,
  reference: string,
  device: Device,
  onStep: (adapter: Adapter<Lora>, step: number) => Promise<void>,
): Promise<undefined> {
  const model = await library.loadModel(reference, { device });
  const method = library.lora({ r: 4, targetModules: model.defaultTargets });
  const adapter = library.attach(model, method, { seed: 1 });
  await onStep(adapter, 0);
  const sequences = [9, 14, 6, 21].map((length) => {
    const inputIds = Array.from({ length }, (_, at) => (3 + 5 * at) % model.config.vocabSize);
    return { inputIds, labels: inputIds };
  });
  const options = { maxSteps: STEPS, batchSize: 2, learningRate: 5e-3, seed: 1 };
  for await (const { step } of library.trainSequences(model, adapter.parameters, sequences, options))
    await onStep(adapter, step);
}

async function weights(library: Library, adapter: Adapter<Lora>): Promise<string> {
  const files = await library.adapterFiles(adapter);
  return String(files.get("adapter_model.safetensors"));
}
