import type { Adapter } from "../adapters/adapter.ts";
import type { InspectedModel } from "../data/inspect/inspect-data.ts";
import { DEVICE, type Device } from "../gpu/device.ts";
import { type FileSource, requireFiles } from "../io/files/files.ts";
import type { Task } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import type { PlanOptions, TrainingPlan } from "../train/plan/plan-training.ts";
import {
  callback,
  checkOptions,
  flag,
  objectOf,
  pickOptions,
  type Rules,
  required,
  text,
  words,
} from "../util/options.ts";
import { type LoadAdapterOptions, loadAdapter } from "./adapter.ts";
import {
  HEAD_RULES,
  type HeadChoice,
  type LoadedModel,
  type Model,
  OPEN_RULES,
  type OpenOptions,
  openModel,
  openTaskModel,
} from "./model.ts";
import { asModel, resolveModel } from "./model-source.ts";
import { openModelText, openTaskText } from "./model-text.ts";

/** How the files of a model or of an adapter are found. */
export interface SourceOptions {
  /** Branch, tag or commit of a hub repository. */
  revision?: string | undefined;
  /** Access token of the hub. In Node that of `HF_TOKEN`, or of `hf auth login`, unless given. */
  token?: string | undefined;
  /**
   * Use what was downloaded before, and keep what is downloaded: in Node in a folder of the user's cache, in browsers in
   * their storage for this site (OPFS), where there is one. True unless given.
   */
  cache?: boolean | undefined;
  /**
   * Check every byte against the digests of the hub, also of what was downloaded and checked before, which is else known
   * by its size and time. False unless given.
   */
  verify?: boolean | undefined;
  /** Ends a download where it is aborted; what came of it is kept, and the next one goes on from there. */
  signal?: AbortSignal | undefined;
  /** Told how many bytes have just come of a download. */
  onDownload?: ((bytes: number) => void) | undefined;
  /** Called with what deserves attention but is no error, one line at a time. */
  onWarning?: ((warning: string) => void) | undefined;
}

/** How a model is found, and where it goes. */
export interface LoadOptions extends SourceOptions, OpenOptions {
  /** Where it runs; a new device unless given. */
  device?: Device | undefined;
}

/** What the options have to be. */
export const SOURCE_RULES: Rules<SourceOptions> = {
  revision: text(),
  token: text("use_auth_token"),
  cache: flag("cache_dir", "use_cache"),
  verify: flag(),
  signal: objectOf("an AbortSignal", (signal) => "aborted" in signal),
  onDownload: callback(),
  onWarning: callback(),
};

const LOAD_RULES: Rules<LoadOptions> = { ...SOURCE_RULES, ...OPEN_RULES, device: DEVICE };
const TASK_RULES: Rules<LoadOptions & HeadChoice<Task>> = { ...LOAD_RULES, ...HEAD_RULES };
const TEXT_RULES: Rules<SourceOptions & HeadChoice<Task>> = { ...SOURCE_RULES, ...HEAD_RULES };
const ADAPTER_RULES: Rules<SourceOptions & LoadAdapterOptions> = {
  ...SOURCE_RULES,
  name: words("adapter_name"),
  strict: flag(),
};

/** What differs from platform to platform. */
export interface Platform {
  /** Opens the device of this machine. */
  openDevice(): Promise<Device>;
  /** The files that a reference names: a folder, a URL, a hub id. */
  resolveFiles(reference: string, options: SourceOptions): Promise<FileSource>;
}

/**
 * What names a model or an adapter: a folder (Node, Deno), a URL or a hub id such as `org/name` or `org/name@revision`; or its
 * files themselves, as `folderFiles`, `blobFiles` or `memoryFiles` give them.
 */
export type Reference = string | FileSource;

/** Loading on one platform. */
export interface Loaders {
  /**
   * Loads a language model: from a folder of transformers' files or a GGUF file.
   * @throws LoraError listing what is missing, misshapen or not supported, and of kind `network`, `no-adapter` or
   * `out-of-memory`
   */
  loadModel(reference: Reference, options?: LoadOptions): Promise<Model>;
  /**
   * Loads a model of any task, with the head that is asked for: `{ task: "sequence-classification", labels: ["no", "yes"] }`.
   * A head that the checkpoint lacks starts at random; `initialised` of the result names its tensors.
   * @throws LoraError as {@link Loaders.loadModel} does, and where the model has no head for the task
   */
  loadTaskModel<T extends Task>(
    reference: Reference,
    options?: LoadOptions & HeadChoice<T>,
  ): Promise<LoadedModel<T>>;
  /**
   * Downloads and checks the weights of a language model, so that {@link Loaders.loadModel} finds them in the cache; it needs no
   * device. Where they are there already, nothing is downloaded.
   * @throws LoraError for a model that is not supported, before its weights are downloaded, and of kind `network`; the reason of `signal`
   * where that is aborted
   */
  downloadModel(reference: Reference, options?: SourceOptions): Promise<void>;
  /**
   * Reads what makes tokens of rows, and no weights: for `readRows` and `inspectData`, without a device. For other tasks than language
   * modelling it takes `task`, and `labels`, as `loadTaskModel` does.
   * @throws LoraError as {@link Loaders.loadModel} does
   */
  loadModelText(reference: Reference, options?: SourceOptions & HeadChoice<Task>): Promise<InspectedModel>;
  /**
   * What memory a run would take, whether it fits onto a device, and what would: of the weights the headers are read, and
   * nothing is loaded.
   * @throws LoraError listing what is not supported, and of kind `network`
   */
  planTraining(reference: Reference, options?: SourceOptions & PlanOptions): Promise<TrainingPlan>;
  /**
   * Puts a saved PEFT adapter on a model.
   * @throws LoraError listing every tensor that does not fit the model, or naming what is not supported
   */
  loadAdapter(
    model: LoadedModel,
    reference: Reference,
    options?: SourceOptions & LoadAdapterOptions,
  ): Promise<Adapter>;
}

/**
 * The files of a model or of an adapter: those that a name stands for, or those given.
 * @throws LoraError where it is neither
 */
export async function filesOf(
  where: string,
  reference: Reference,
  { resolveFiles }: Pick<Platform, "resolveFiles">,
  options: SourceOptions,
): Promise<FileSource> {
  if (typeof reference === "object" && reference !== null) {
    requireFiles(where, reference);
    return reference;
  }
  checkOptions(where, { reference }, { reference: required(words()) });
  return resolveFiles(reference, options);
}

/** The same of a model, which a GGUF file may be. */
export async function modelFilesOf(
  where: string,
  reference: Reference,
  { resolveFiles }: Pick<Platform, "resolveFiles">,
  options: SourceOptions,
): Promise<FileSource> {
  const resolve = (name: string, source: SourceOptions) =>
    resolveModel(name, (place) => resolveFiles(place, source));
  return asModel(await filesOf(where, reference, { resolveFiles: resolve }, options));
}

// One function for each of them, so that a bundler takes along only what a program calls.

/** Makes {@link Loaders.loadModel}. */
export function modelLoader(platform: Platform): Loaders["loadModel"] {
  return async (reference, options = {}) => {
    checkOptions("loadModel", options, LOAD_RULES);
    const files = await modelFilesOf("loadModel", reference, platform, pickOptions(options, SOURCE_RULES));
    const device = options.device ?? (await platform.openDevice());
    return openModel(files, device, pickOptions(options, OPEN_RULES));
  };
}

/** Makes {@link Loaders.loadTaskModel}. */
export function taskModelLoader(platform: Platform): Loaders["loadTaskModel"] {
  return async (reference, options = {}) => {
    checkOptions("loadTaskModel", options, TASK_RULES);
    const files = await modelFilesOf(
      "loadTaskModel",
      reference,
      platform,
      pickOptions(options, SOURCE_RULES),
    );
    const { task, labels, seed } = options;
    const device = options.device ?? (await platform.openDevice());
    return openTaskModel(files, device, { ...pickOptions(options, OPEN_RULES), ...{ task, labels, seed } });
  };
}

/** Makes {@link Loaders.loadModelText}. */
export function modelTextLoader(platform: Pick<Platform, "resolveFiles">): Loaders["loadModelText"] {
  return async (reference, options = {}) => {
    checkOptions("loadModelText", options, TEXT_RULES);
    const { task = "causal-lm", labels, seed: _, layerReplication: __, ...source } = options;
    const files = await modelFilesOf("loadModelText", reference, platform, source);
    if (task === "causal-lm") return openModelText(files);
    const { classes, ...text } = await openTaskText(files, { task, labels });
    return { ...text, ...(classes && { labels: classes }) };
  };
}

/** Makes {@link Loaders.loadAdapter}. */
export function adapterLoader(platform: Pick<Platform, "resolveFiles">): Loaders["loadAdapter"] {
  return async (model, reference, options = {}) => {
    checkOptions("loadAdapter", options, ADAPTER_RULES);
    requireModel("loadAdapter", model);
    const { name, strict, ...source } = options;
    const stored = await filesOf("loadAdapter", reference, platform, source);
    const { ggufBaseOfModel, inPeftFormat } = await import("./convert/formats.ts"); // readers of other tools' files
    const files = await inPeftFormat(stored, async () => ggufBaseOfModel(model));
    return loadAdapter(model, files, { name, strict, onWarning: source.onWarning });
  };
}
