// The same work in Node, Deno and a browser: ten steps of LoRA, saved, loaded and asked. The library comes as an argument.
import type {
  Adapter,
  adapterFiles,
  attach,
  blobFiles,
  Device,
  generateTokens,
  loadAdapter,
  loadModel,
  lora,
  Model,
  openDevice,
  trainSequences,
} from "../../src/index.web.ts";

/** What the ten steps need of the package. */
export interface Library {
  openDevice: typeof openDevice;
  loadModel: typeof loadModel;
  attach: typeof attach;
  lora: typeof lora;
  trainSequences: typeof trainSequences;
  adapterFiles: typeof adapterFiles;
  blobFiles: typeof blobFiles;
  loadAdapter: typeof loadAdapter;
  generateTokens: typeof generateTokens;
}

/** Losses of the ten steps, and the device that computed them. */
export interface TenSteps {
  device: string;
  losses: number[];
  /** What the model says through the adapter, and through the same one saved and loaded. */
  said: { before: number[]; trained: number[]; loaded: number[] };
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
  const before = await say(library, model.withAdapters([]));
  const trained = await say(library, model);
  await reload(library, model, adapter);
  const loaded = await say(library, model);
  model.release();
  if (!given) device.close();
  return { device: device.info.name, losses, said: { before, trained, loaded } };
}

/** Puts what is saved of the adapter in its place. */
async function reload(library: Library, model: Model, adapter: Adapter): Promise<void> {
  const files = await library.adapterFiles(adapter);
  const blobs = [...files].map(([name, content]) => [name, new Blob([content as BlobPart])] as const);
  adapter.release();
  await library.loadAdapter(model, library.blobFiles("saved", new Map(blobs)));
}

async function say(library: Library, model: Model): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of library.generateTokens(model, [3, 10, 17], { maxNewTokens: 8 })) ids.push(id);
  return ids;
}

/** Four sequences of different lengths; the first third of each gives no loss. */
function madeUp(vocabSize: number): { inputIds: number[]; labels: number[] }[] {
  return [9, 14, 6, 21].map((length, row) => {
    const inputIds = Array.from({ length }, (_, at) => (3 + 7 * row + 5 * at + at * at) % vocabSize);
    return { inputIds, labels: inputIds.map((id, at) => (at < length / 3 ? -100 : id)) };
  });
}
