import { existsSync, statSync } from "node:fs";
import type { Adapter } from "../adapters/adapter.ts";
import { measureUpload } from "../gpu/offload.ts";
import { type FileSource, readJson } from "../io/files/files.ts";
import { refuseForeignFile } from "../io/formats/peft-foreign.ts";
import { withoutQuantisation } from "../io/formats/quantised/settings.ts";
import { type ChatTemplateSources, readChatTemplates } from "../io/tokenizer/chat-templates.ts";
import { loadAdapter } from "../load/adapter.ts";
import { ggufBaseOfModel, inPeftFormat, onlyFile } from "../load/convert/formats.ts";
import { countParameters } from "../load/create.ts";
import { type HeadChoice, type LoadedModel, openTaskModel, withLabels } from "../load/model.ts";
import { resolveModel } from "../load/model-source.ts";
import type { Offloading } from "../load/offload.ts";
import { type Quantization, type QuantizationFormat, quantisation } from "../load/quantization.ts";
import { vocabularyOf } from "../load/resized-vocabulary.ts";
import type { HfConfig } from "../models/config-reader.ts";
import type { Task } from "../models/model.ts";
import { type LayerReplication, replicationOf } from "../nn/replicate.ts";
import { openNodeDevice } from "../platform/node-gpu.ts";
import { type ResolveOptions, resolveModelFiles } from "../platform/node-sources.ts";
import { fail } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { describeDevice, describeOffload } from "./format.ts";

/** Settings that say which model. */
export interface ModelSettings {
  readonly model: string;
  readonly revision: string | undefined;
  readonly token: string | undefined;
  readonly verify: boolean;
  readonly quantization: QuantizationFormat | undefined;
  readonly quantization_block: number | undefined;
  readonly double_quantization: boolean;
  /** None: the default. */
  readonly skip_modules: readonly string[];
  readonly offload: Offloading;
}

/** A model on a device, and how many parameters it has. */
export interface OpenModel<T extends Task = "causal-lm"> {
  readonly model: LoadedModel<T>;
  readonly parameters: number;
  /** What it was loaded from: reading on refuses files that are others by now. */
  readonly files: FileSource;
}

/** Which head the model gets, given the files of the model, and other files where its adapters ask for another vocabulary. */
export type ChooseHead<T extends Task> = (
  files: FileSource,
) => Promise<HeadChoice<T> & { readonly files?: FileSource }>;

/**
 * Loads a model onto the device there is.
 * @param announce called with the device's name before anything is loaded
 * @param adapters that will be put on it: they may ask for other layers
 */
export async function openCliModel(
  settings: ModelSettings,
  announce: (line: string) => void,
  adapters: readonly AdapterReference[] = [],
): Promise<OpenModel> {
  return openCliTask(settings, announce, async (files) => ({
    task: "causal-lm",
    files: await adapterVocabulary(files, adapters),
    layerReplication: await adapterReplication(adapters),
  }));
}

/** The files of a model, or of the GGUF file that is one. */
export function openSource(reference: string, options: ResolveOptions): Promise<FileSource> {
  return resolveModel(reference, (place) => resolveModelFiles(place, options));
}

/** The same for a model of any task. */
export async function openCliTask<T extends Task>(
  settings: ModelSettings,
  announce: (line: string) => void,
  chooseHead: ChooseHead<T>,
): Promise<OpenModel<T>> {
  const { model: reference, revision, token, verify, offload } = settings;
  const quantization = quantizationOf(settings); // what is wrong with it is told before anything is opened
  const onWarning = warner(announce);
  const own = await openSource(reference, { revision, token, verify, onWarning });
  const { files = own, ...head } = await chooseHead(own);
  const device = await openNodeDevice();
  announce(describeDevice(device.info));
  const model = await openTaskModel(files, device, {
    ...head,
    onWarning,
    ...{ quantization, offload },
  });
  if (model.offload) announce(describeOffload(model.offload, await measureUpload(device)));
  if (model.initialised.length > 0) {
    announce(`The head starts at random: ${model.initialised.join(", ")}`);
  }
  const config = withoutQuantisation((await readJson(files, "config.json")) as HfConfig);
  const parameters = countParameters(device, withLabels(config, head.labels), head.task);
  return { model, parameters, files };
}

/** @throws LoraError where it is said how to quantise and not to what, and for what does not belong together */
export function quantizationOf(settings: ModelSettings): Quantization | undefined {
  const { quantization: format, quantization_block: block, skip_modules } = settings;
  const skipModules = skip_modules.length > 0 ? skip_modules : undefined;
  const doubleQuantization = settings.double_quantization || undefined;
  if (format) {
    const quantization = { format, block, doubleQuantization, skipModules };
    quantisation(quantization);
    return quantization;
  }
  if (block === undefined && !skipModules && !doubleQuantization) return undefined;
  return fail(
    "quantization",
    `${skipModules ? "skip_modules" : block ? "quantization_block" : "double_quantization"} is given without it`,
    "name the format, or leave both out",
  );
}

/** A saved adapter. */
export interface AdapterReference {
  /** Folder, URL or hub id, where the path of its `adapter_model.safetensors` stands for the folder; or a GGUF file. */
  readonly reference: string;
  readonly revision: string | undefined;
  readonly token: string | undefined;
  readonly verify: boolean;
  /** Tells it from the model's other adapters. */
  readonly name?: string | undefined;
}

/**
 * The adapter that settings name, if they name one.
 * @throws LoraError where they name its revision alone
 */
export function adapterReference(
  reference: string | undefined,
  {
    adapter_revision: revision,
    token,
    verify,
  }: Pick<AdapterReference, "token" | "verify"> & { readonly adapter_revision: string | undefined },
): AdapterReference | undefined {
  if (reference !== undefined) return { reference, revision, token, verify };
  if (revision === undefined) return undefined;
  return fail(
    "adapter_revision",
    "there is no adapter that it could be of",
    "name the adapter, or leave it out",
  );
}

/**
 * Puts a saved adapter on a model, and notes what is odd about it.
 * @returns also the model with the chat templates of the adapter's folder, where there are some: it learnt them
 */
export async function openCliAdapter<T extends Task>(
  model: LoadedModel<T>,
  reference: AdapterReference,
  note: (line: string) => void,
  { strict = false }: { readonly strict?: boolean } = {},
): Promise<{ adapter: Adapter; model: LoadedModel<T> }> {
  const files = await inPeftFormat(await adapterSource(reference, note), async () => ggufBaseOfModel(model));
  const adapter = await loadAdapter(model, files, { onWarning: warner(note), name: reference.name, strict });
  const own: ChatTemplateSources = model.task === "causal-lm" ? await readChatTemplates(files) : new Map();
  const chatTemplates = new Map([...model.chatTemplates, ...own]);
  return { adapter, model: { ...model, chatTemplates } };
}

/** How the first adapter that says so wants the model's layers stacked; who loads the adapters checks that they agree. */
export async function adapterReplication(
  adapters: readonly (AdapterReference | FileSource)[],
): Promise<LayerReplication | undefined> {
  for (const adapter of adapters) {
    const files = "reference" in adapter ? await adapterSource(adapter, () => {}) : adapter;
    if ((await files.size(PEFT_CONFIG)) === undefined) continue;
    const config = await readJson(files, PEFT_CONFIG);
    const found = isObject(config) ? replicationOf(config.layer_replication) : undefined;
    if (found) return found;
  }
  return undefined;
}

/** A base model's files with the vocabulary that the first adapter has which resized it. */
export async function adapterVocabulary(
  files: FileSource,
  adapters: readonly (AdapterReference | FileSource)[],
): Promise<FileSource> {
  for (const adapter of adapters) {
    const source = "reference" in adapter ? await adapterSource(adapter, () => {}) : adapter;
    const resized = await vocabularyOf(files, source);
    if (resized !== files) return resized;
  }
  return files;
}

const PEFT_CONFIG = "adapter_config.json";

/** The files of an adapter, in the format that they have; of a GGUF file itself, alone. */
export async function adapterSource(
  { reference, revision, token, verify }: AdapterReference,
  note: (line: string) => void,
): Promise<FileSource> {
  const folder = reference.replace(/(^|[\\/])(?:adapter_model|adapters?)\.safetensors$/, "") || ".";
  const options = { revision, token, verify, onWarning: warner(note) };
  if (folder.endsWith(".gguf")) {
    const cut = Math.max(folder.lastIndexOf("/"), folder.lastIndexOf("\\")) + 1;
    return onlyFile(await resolveModelFiles(folder.slice(0, cut) || ".", options), folder.slice(cut));
  }
  if (existsSync(folder) && statSync(folder).isFile()) refuseForeignFile(folder);
  return resolveModelFiles(folder, options);
}

/**
 * The files of an adapter as PEFT has them, for what works without a model.
 * @throws LoraError for a GGUF adapter: the order of its rows depends on the model's heads
 */
export async function peftSource(
  reference: AdapterReference,
  note: (line: string) => void,
): Promise<FileSource> {
  const files = await adapterSource(reference, note);
  return inPeftFormat(files, async () => {
    const help = "convert it: webgpu-lora convert FILE --to peft --output OUT --model BASE";
    return fail(files.label, "a GGUF adapter cannot be read without its base model's config", help);
  });
}

/** Prints warnings as such. */
function warner(note: (line: string) => void): (warning: string) => void {
  return (warning) => note(`warning: ${warning}`);
}
