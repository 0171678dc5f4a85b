// Ten steps of LoRA training, run alike in Node, Deno and a browser: the library comes as an argument.
import type { attach, Device, loadModel, lora, openDevice, trainSequences } from "../../src/index.web.ts";

/** What the ten steps need of the package. */
export interface Library {
  openDevice: typeof openDevice;
  loadModel: typeof loadModel;
  attach: typeof attach;
  lora: typeof lora;
  trainSequences: typeof trainSequences;
}

/** Losses of the ten steps, and the adapter that computed them. */
export interface TenSteps {
  device: string;
  losses: number[];
}

/** Trains a fresh LoRA of the model in a folder or at an address on a few made-up sequences. */
export async function tenSteps(library: Library, reference: string, given?: Device): Promise<TenSteps> {
  const device = given ?? (await library.openDevice());
  const model = await library.loadModel(reference, { device });
  const adapter = library.attach(
    model,
    library.lora({ r: 4, alpha: 8, targetModules: model.defaultTargets }),
    { seed: 1 },
  );
  const losses: number[] = [];
  const options = { maxSteps: 10, batchSize: 2, learningRate: 5e-3, seed: 1 };
  const sequences = madeUp(model.config.vocabSize);
  for await (const { loss } of library.trainSequences(model, adapter.parameters, sequences, options))
    losses.push(loss);
  adapter.release();
  model.release();
  if (!given) device.close();
  return { device: device.info.name, losses };
}

/** Four sequences of different lengths; the first third of each gives no loss. */
function madeUp(vocabSize: number): { inputIds: number[]; labels: number[] }[] {
  return [9, 14, 6, 21].map((length, row) => {
    const inputIds = Array.from({ length }, (_, at) => (3 + 7 * row + 5 * at + at * at) % vocabSize);
    return { inputIds, labels: inputIds.map((id, at) => (at < length / 3 ? -100 : id)) };
  });
}
