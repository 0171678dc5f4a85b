import type { Adapter } from "../adapters/adapter.ts";
import type { Lora } from "../adapters/lora.ts";
import { type FileSource, readJson } from "../io/files/files.ts";
import { loadAdapter } from "../load/adapter.ts";
import { countParameters } from "../load/create.ts";
import { type HeadChoice, type LoadedModel, openTaskModel, withLabels } from "../load/model.ts";
import type { HfConfig } from "../models/config-reader.ts";
import type { Task } from "../models/model.ts";
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
export interface OpenModel<T extends Task = "causal-lm"> {
  readonly model: LoadedModel<T>;
  readonly parameters: number;
}

/** Which head the model gets, given the files of the model. */
export type ChooseHead<T extends Task> = (files: FileSource) => Promise<HeadChoice<T>>;

/**
 * Loads a model onto the device there is.
 * @param announce told which device it is, before anything is loaded
 */
export async function openCliModel(
  settings: ModelSettings,
  announce: (line: string) => void,
): Promise<OpenModel> {
  return openCliTask(settings, announce, async () => ({ task: "causal-lm" }));
}

/** The same for a model of any task. */
export async function openCliTask<T extends Task>(
  { model: reference, revision, token }: ModelSettings,
  announce: (line: string) => void,
  chooseHead: ChooseHead<T>,
): Promise<OpenModel<T>> {
  const files = await resolveModelFiles(reference, { revision, token });
  const head = await chooseHead(files);
  const device = await openNodeDevice();
  announce(describeDevice(device.info));
  const model = await openTaskModel(files, device, head);
  if (model.initialised.length > 0) {
    announce(`The head starts at random: ${model.initialised.join(", ")}`);
  }
  const config = (await readJson(files, "config.json")) as HfConfig;
  return { model, parameters: countParameters(device, withLabels(config, head.labels), head.task) };
}

/** Puts a saved adapter on a model, and notes what is odd about it; the path of its `adapter_model.safetensors` stands for the folder. */
export async function openCliAdapter(
  model: LoadedModel,
  reference: string,
  token: string | undefined,
  note: (line: string) => void,
): Promise<Adapter<Lora>> {
  const files = await resolveModelFiles(adapterFolder(reference), { token });
  return loadAdapter(model, files, { onWarning: (warning) => note(`warning: ${warning}`) });
}

/** The folder of an adapter that may be given by its file. */
export function adapterFolder(reference: string): string {
  return reference.replace(/(^|[\\/])adapter_model\.safetensors$/, "") || ".";
}
