// The package in browsers and in Deno.
import type { Adapter } from "./adapters/adapter.ts";
import type { Lora } from "./adapters/lora.ts";
import type { Device, DeviceOptions } from "./gpu/device.ts";
import type { FileSource } from "./io/files/files.ts";
import { type LoadAdapterOptions, loadAdapter as loadAdapterFiles } from "./load/adapter.ts";
import { type HeadChoice, type LoadedModel, type Model, openModel, openTaskModel } from "./load/model.ts";
import type { Task } from "./models/model.ts";
import { resolveModelFiles, webByteCache } from "./platform/web-files.ts";
import { openWebDevice } from "./platform/web-gpu.ts";
import { decodeWebImage } from "./platform/web-images.ts";

export * from "./api.ts";

/** How a model is found. */
export interface LoadOptions {
  /** Where it runs; a new device unless given. */
  device?: Device;
  /** Branch, tag or commit of a hub repository. */
  revision?: string;
  /** Access token of the hub. */
  token?: string;
  /** Keep what is downloaded in the browser's storage for this site (OPFS), where there is one; true unless given. */
  cache?: boolean;
}

/**
 * Opens the environment's WebGPU device.
 * @throws LoraError of kind `no-adapter` with what to do about it.
 */
export function openDevice(options: DeviceOptions = {}): Promise<Device> {
  return openWebDevice(options);
}

/**
 * Loads a language model from a URL or a hub id such as `org/name` or `org/name@revision`.
 * @throws LoraError listing what is missing, misshapen or not supported, and of kind `network`, `no-adapter` or
 * `out-of-memory`
 */
export async function loadModel(reference: string, { device, ...options }: LoadOptions = {}): Promise<Model> {
  return openModel(await cachedFiles(reference, options), device ?? (await openDevice()));
}

async function cachedFiles(
  reference: string,
  { cache = true, ...options }: Omit<LoadOptions, "device">,
): Promise<FileSource> {
  return resolveModelFiles(reference, { ...options, cache: cache ? await webByteCache() : undefined });
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
  return openTaskModel(await cachedFiles(reference, options), device ?? (await openDevice()), head);
}

/**
 * Puts a saved PEFT LoRA adapter on a model: a URL or a hub id.
 * @throws LoraError listing every tensor that does not fit the model, or naming what is not supported
 */
export async function loadAdapter(
  model: LoadedModel,
  reference: string,
  options: LoadAdapterOptions = {},
): Promise<Adapter<Lora>> {
  return loadAdapterFiles(model, await resolveModelFiles(reference), options);
}

export { decodeWebImage as decodeImage };
