// The package in Node.
import type { Adapter } from "./adapters/adapter.ts";
import type { Lora } from "./adapters/lora.ts";
import type { Device, DeviceOptions } from "./gpu/device.ts";
import { adapterFiles, type LoadAdapterOptions, loadAdapter as loadAdapterFiles } from "./load/adapter.ts";
import { mergedFiles } from "./load/merge.ts";
import { type HeadChoice, type LoadedModel, type Model, openModel, openTaskModel } from "./load/model.ts";
import type { Task } from "./models/model.ts";
import { folderFiles, resolveModelFiles } from "./platform/node-files.ts";
import { folderWriter } from "./platform/node-folder-writer.ts";
import { openNodeDevice } from "./platform/node-gpu.ts";
import { decodeNodeImage } from "./platform/node-images.ts";

export * from "./api.ts";

/** How a model is found. */
export interface LoadOptions {
  /** Where it runs; a new device unless given. */
  device?: Device;
  /** Branch, tag or commit of a hub repository. */
  revision?: string;
  /** Access token of the hub; the variable HF_TOKEN unless given. */
  token?: string;
}

/**
 * Opens the system's GPU, or a software device where there is none (`device.info` says which).
 * @throws LoraError of kind `no-adapter` with what to install.
 */
export function openDevice(options: DeviceOptions = {}): Promise<Device> {
  return openNodeDevice(options);
}

/**
 * Loads a language model from a folder, a URL or a hub id such as `org/name` or `org/name@revision`.
 * @throws LoraError listing what is missing, misshapen or not supported, and of kind `network`, `no-adapter` or
 * `out-of-memory`
 */
export async function loadModel(reference: string, { device, ...options }: LoadOptions = {}): Promise<Model> {
  return openModel(await resolveModelFiles(reference, options), device ?? (await openDevice()));
}

/**
 * Loads a model of any task, with the head that is asked for: `{ task: "sequence-classification", labels: ["no", "yes"] }`.
 * A head that the checkpoint lacks starts at random; `initialised` of the result names its tensors.
 * @throws LoraError as {@link loadModel} does, and where the model has no head for the task
 */
export async function loadTaskModel<T extends Task>(
  reference: string,
  { task, labels, seed, device, ...options }: LoadOptions & HeadChoice<T> = {},
): Promise<LoadedModel<T>> {
  const head = { ...(task && { task }), labels, ...(seed !== undefined && { seed }) };
  return openTaskModel(await resolveModelFiles(reference, options), device ?? (await openDevice()), head);
}

/**
 * Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 does; both or none.
 * @throws LoraError where the folder cannot be written to or the disk is full; what was there is then as before
 */
export async function saveAdapter(adapter: Adapter<Lora>, folder: string): Promise<void> {
  await folderWriter(folder).write(await adapterFiles(adapter));
}

/**
 * Merges an adapter into the weights of its model and writes the whole model: `config.json`, weights, tokenizer.
 * The adapter stays on the model in memory, which is as before.
 * @param options where the model's files are found, as in {@link loadModel}
 * @throws LoraError where the files are not there any more, or the folder cannot be written to
 */
export async function saveMerged(
  model: LoadedModel,
  adapter: Adapter<Lora>,
  folder: string,
  options: Omit<LoadOptions, "device"> = {},
): Promise<void> {
  const files = await resolveModelFiles(model.name, options);
  await folderWriter(folder).write(await mergedFiles(model, adapter, files));
}

/**
 * Puts a saved PEFT LoRA adapter on a model: a folder, a URL or a hub id.
 * @throws LoraError listing every tensor that does not fit the model, or naming what is not supported
 */
export async function loadAdapter(
  model: LoadedModel,
  reference: string,
  options: LoadAdapterOptions = {},
): Promise<Adapter<Lora>> {
  return loadAdapterFiles(model, await resolveModelFiles(reference), options);
}

export { decodeNodeImage as decodeImage, folderFiles };
