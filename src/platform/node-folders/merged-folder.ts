import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Superseded } from "../../io/files/files.ts";
import { isModelFile, isWeightsFile } from "../../load/model-folder.ts";
import { fail } from "../../util/fail.ts";
import { awaitOneState } from "./folder-lock.ts";

/**
 * Checks that a merged model can lie in a folder.
 * @param folder where it is to be written; it may be missing
 * @param model the base model's folder, URL or hub id
 * @throws LoraError where that is the base model's own folder, or one with an adapter, which transformers would put on
 * the merged model once more
 */
export async function checkMergedFolder(folder: string, model: string): Promise<void> {
  await checkIsNotModel(folder, model);
  await awaitOneState(folder);
  const name = "adapter_config.json";
  if (await stat(join(folder, name)).catch(() => undefined)) {
    const effect = "transformers would put it on the merged model, too";
    fail("output_dir", `${folder} holds an adapter (${name}): ${effect}`, "choose another folder");
  }
}

/**
 * Checks that a folder is not the base model's own: a merged model would take its place, and an adapter's configuration
 * beside its files would make transformers put the adapter on it whenever the model alone is opened.
 * @throws LoraError where it is
 */
export async function checkIsNotModel(folder: string, model: string): Promise<void> {
  const [from, to] = await Promise.all([model, folder].map((path) => stat(path).catch(() => undefined)));
  if (from && to && from.ino === to.ino && from.dev === to.dev) {
    fail("output_dir", `${folder} is the model's own folder`, "choose another: the base model is kept");
  }
}

/**
 * What goes from a folder where a merged model comes: all that belongs to the model that is there. Where there is no
 * `config.json`, and so none, a tokenizer, say, may have been put there on purpose; but old weights could be read.
 */
export async function supersededIn(folder: string): Promise<Superseded> {
  const isModel = await stat(join(folder, "config.json")).catch(() => undefined);
  return isModel ? isModelFile : isWeightsFile;
}
