// The package in browsers and in Deno.
import type { Adapter } from "./adapters/adapter.ts";
import type { Lora } from "./adapters/lora.ts";
import type { Device, DeviceOptions } from "./gpu/device.ts";
import { loadAdapter as loadAdapterFiles } from "./load/adapter.ts";
import { type Model, openModel } from "./load/model.ts";
import { resolveModelFiles } from "./platform/web-files.ts";
import { openWebDevice } from "./platform/web-gpu.ts";

export * from "./api.ts";

/** How a model is found. */
export interface LoadOptions {
  /** Where it runs; a new device unless given. */
  device?: Device;
  /** Branch, tag or commit of a hub repository. */
  revision?: string;
  /** Access token of the hub. */
  token?: string;
}

/**
 * Opens the environment's WebGPU device.
 * @throws LoraError of kind `no-adapter` with what to do about it.
 */
export function openDevice(options: DeviceOptions = {}): Promise<Device> {
  return openWebDevice(options);
}

/** Loads a model from a URL or a hub id such as `org/name` or `org/name@revision`. */
export async function loadModel(reference: string, { device, ...options }: LoadOptions = {}): Promise<Model> {
  return openModel(await resolveModelFiles(reference, options), device ?? (await openDevice()));
}

/** Puts a saved PEFT LoRA adapter on a model: a URL or a hub id. */
export async function loadAdapter(model: Model, reference: string): Promise<Adapter<Lora>> {
  return loadAdapterFiles(model, await resolveModelFiles(reference));
}
