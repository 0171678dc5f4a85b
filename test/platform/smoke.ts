// The smoke suite of all runtimes: Node, Deno, a browser and whoever else has the library run it on a model whose every number PyTorch
// has computed, and on the bundled one. It uses public names alone, knows no runtime, and reports; `expectSmoke` says what has to hold.
import type * as web from "../../src/index.web.ts";

/** What it needs of the package. */
export type Library = Pick<
  typeof web,
  | "adapterFiles"
  | "attach"
  | "blobFiles"
  | "convertAdapter"
  | "fromArray"
  | "generateTokens"
  | "languageModelling"
  | "loadAdapter"
  | "loadModel"
  | "lora"
  | "meanLoss"
  | "mergedFiles"
  | "openDevice"
  | "placeTokens"
  | "trainSequences"
  | "wholeRows"
>;

/** A fixture of test/fixtures/make_llama.py: what goes in. */
export interface Fixture {
  /** Where it lies: a folder or an address, its adapter in `adapter` below. */
  readonly at: string;
  /** The sequences that it is trained on. */
  readonly sequences: readonly web.Sequence[];
  readonly prompt: readonly number[];
  readonly newTokens: number;
  /** Options of the training that PyTorch did. */
  readonly training: web.TrainerOptions;
}

/** What the suite works on. */
export interface SmokeInput {
  readonly fixture: Fixture;
  /** Where the bundled model lies. */
  readonly model: string;
}

/** What came out, to be compared with PyTorch. */
export interface Measured {
  /** Scores of each token of the first sequence, `[T, V]`, by the base model. */
  readonly logits: readonly number[];
  /** Mean loss of all sequences, of the base model and through the adapter. */
  readonly baseLoss: number;
  readonly loss: number;
  /** What follows the prompt, greedily: base model, adapter. */
  readonly baseTokens: readonly number[];
  readonly tokens: readonly number[];
  /** Loss of each step of a training from the adapter on, and after the last. */
  readonly losses: readonly number[];
  readonly lossAfter: number;
  /** The same loss by a model with the trained adapter merged into its weights, which was written and loaded. */
  readonly mergedLoss: number;
  /** How the adapter begins as GGUF. */
  readonly ggufMagic: string;
}

/** What a fresh adapter on the bundled model came to. */
export interface Learnt {
  readonly losses: readonly number[];
  /** What the model says without the adapter, through it, and through the same one saved and loaded. */
  readonly said: { readonly before: number[]; readonly trained: number[]; readonly loaded: number[] };
}

/** All that the suite reports. */
export interface SmokeReport {
  /** The device that computed it. */
  readonly device: string;
  readonly measured: Measured;
  readonly learnt: Learnt;
}

/** Runs the suite; on a device of its own unless one is given. */
export async function smoke(library: Library, input: SmokeInput, given?: Device): Promise<SmokeReport> {
  const device = given ?? (await library.openDevice());
  const measured = await measure(library, device, input.fixture);
  const learnt = await learn(library, device, input.model);
  if (!given) device.close();
  return { device: device.info.name, measured, learnt };
}

type Device = web.Device;

/** What PyTorch has computed, computed here. */
async function measure(library: Library, device: Device, fixture: Fixture): Promise<Measured> {
  const { at, sequences, prompt, newTokens, training } = fixture;
  const { languageModelling, meanLoss } = library;
  const lossOf = async (of: web.Model) => (await meanLoss(languageModelling(of), sequences)).loss;
  const say = (of: web.Model) => generated(library, of, prompt, newTokens);
  const model = await library.loadModel(at, { device });
  const [{ inputIds } = { inputIds: [] }] = sequences;
  const ids = library.fromArray(device, Uint32Array.from(inputIds), [1, inputIds.length]);
  const geometry = library.placeTokens(device, library.wholeRows(1, inputIds.length));
  const hidden = model.hidden(ids, { training: false, seed: 0, geometry });
  const logits = Array.from(await model.logits(hidden).read());
  const [baseLoss, baseTokens] = [await lossOf(model), await say(model)];
  const adapter = await library.loadAdapter(model, `${at}/adapter`);
  const [loss, tokens] = [await lossOf(model), await say(model)];
  const losses: number[] = [];
  for await (const step of library.trainSequences(model, adapter.parameters, sequences, training))
    losses.push(step.loss);
  const lossAfter = await lossOf(model);
  const merged = await library.loadModel(await mergedModel(library, model, adapter), { device });
  const mergedLoss = await lossOf(merged);
  const ggufMagic = await magicOfGguf(library, await saved(library, adapter), model);
  merged.release();
  model.release();
  return { logits, baseLoss, loss, baseTokens, tokens, losses, lossAfter, mergedLoss, ggufMagic };
}

/** Ten steps of a fresh LoRA on the bundled model, saved, loaded and asked. */
async function learn(library: Library, device: Device, at: string): Promise<Learnt> {
  const model = await library.loadModel(at, { device });
  const method = library.lora({ r: 4, alpha: 8, targetModules: model.defaultTargets });
  const adapter = library.attach(model, method, { seed: 1 });
  const losses: number[] = [];
  const options = { maxSteps: 10, batchSize: 2, learningRate: 5e-3, seed: 1 };
  const sequences = madeUp(model.config.vocabSize);
  for await (const { loss } of library.trainSequences(model, adapter.parameters, sequences, options))
    losses.push(loss);
  const say = (of: web.Model) => generated(library, of, [3, 10, 17], 8);
  const [before, trained] = [await say(model.withAdapters([])), await say(model)];
  const files = await saved(library, adapter);
  adapter.release();
  await library.loadAdapter(model, files);
  const loaded = await say(model);
  model.release();
  return { losses, said: { before, trained, loaded } };
}

async function generated(
  library: Library,
  model: web.Model,
  prompt: readonly number[],
  maxNewTokens: number,
): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of library.generateTokens(model, prompt, { maxNewTokens })) ids.push(id);
  return ids;
}

type Contents = ReadonlyMap<string, Uint8Array | string | AsyncIterable<Uint8Array>>;

/** Files as a user has them who saved them. */
async function asFiles({ blobFiles }: Library, label: string, contents: Contents) {
  const blobs = new Map<string, Blob>();
  for (const [name, content] of contents) {
    const isWhole = typeof content === "string" || content instanceof Uint8Array;
    const parts: BlobPart[] = isWhole ? [content as BlobPart] : [];
    if (!isWhole) for await (const part of content) parts.push(part as BlobPart);
    blobs.set(name, new Blob(parts));
  }
  return blobFiles(label, blobs);
}

const saved = async (library: Library, adapter: web.Adapter) =>
  asFiles(library, "saved", await library.adapterFiles(adapter));

async function mergedModel(library: Library, model: web.Model, adapter: web.Adapter) {
  if (!model.files) throw new Error("the model does not say what it was loaded from");
  return asFiles(library, "merged", await library.mergedFiles(model, adapter, model.files));
}

async function magicOfGguf(library: Library, adapter: web.FileSource, model: web.Model): Promise<string> {
  const { files: own } = model;
  const config = await own?.read("config.json", 0, (await own.size("config.json")) ?? 0);
  const baseConfig = async () => JSON.parse(new TextDecoder().decode(config));
  const { files } = await library.convertAdapter(adapter, { to: "gguf", baseConfig });
  const [content] = files.values();
  if (content === undefined) throw new Error("no file was written");
  const whole = await asFiles(library, "gguf", new Map([["adapter.gguf", content]]));
  return new TextDecoder().decode(await whole.read("adapter.gguf", 0, 4));
}

/** Four sequences of different lengths; the first third of each gives no loss. */
function madeUp(vocabSize: number): web.Sequence[] {
  return [9, 14, 6, 21].map((length, row) => {
    const inputIds = Array.from({ length }, (_, at) => (3 + 7 * row + 5 * at + at * at) % vocabSize);
    return { inputIds, labels: inputIds.map((id, at) => (at < length / 3 ? -100 : id)) };
  });
}
