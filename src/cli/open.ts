import type { Adapter } from "../adapters/adapter.ts";
import type { Lora } from "../adapters/lora.ts";
import { readJson } from "../io/files.ts";
import { loadAdapter } from "../load/adapter.ts";
import { countParameters } from "../load/create.ts";
import { type Model, openModel } from "../load/model.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { resolveModelFiles } from "../platform/node-files.ts";
import { openNodeDevice } from "../platform/node-gpu.ts";
import { describeDevice } from "./format.ts";

/** Settings that say which model. */
export interface ModelSettings {
  readonly model: string;
  readonly revision: string | undefined;
  readonly token: string | undefined;
}

/** A model on a device, and how many parameters it has. */
export interface OpenModel {
  readonly model: Model;
  readonly parameters: number;
}

/**
 * Loads a model onto the device there is.
 * @param announce told which device it is, before anything is loaded
 */
export async function openCliModel(
  { model: reference, revision, token }: ModelSettings,
  announce: (line: string) => void,
): Promise<OpenModel> {
  const files = await resolveModelFiles(reference, { revision, token });
  const device = await openNodeDevice();
  announce(describeDevice(device.info));
  const model = await openModel(files, device);
  const config = (await readJson(files, "config.json")) as HfConfig;
  return { model, parameters: countParameters(device, config) };
}

/** Puts a saved adapter on a model; the path of its `adapter_model.safetensors` stands for the folder. */
export async function openCliAdapter(
  model: Model,
  reference: string,
  token: string | undefined,
): Promise<Adapter<Lora>> {
  const folder = reference.replace(/(^|[\\/])adapter_model\.safetensors$/, "") || ".";
  return loadAdapter(model, await resolveModelFiles(folder, { token }));
}
