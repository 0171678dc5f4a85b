// The package in browsers.
import type { Adapter } from "./adapters/adapter.ts";
import { requireAdapterOf } from "./adapters/owners.ts";
import { adapterFiles, isSupersededByAdapter, type SaveAdapterOptions } from "./load/adapter.ts";
import {
  adapterLoader,
  type Loaders,
  modelLoader,
  modelTextLoader,
  type Platform,
  SOURCE_RULES,
  type SourceOptions,
  taskModelLoader,
} from "./load/loaders.ts";
import { mergedFiles } from "./load/merge.ts";
import type { LoadedModel } from "./load/model.ts";
import { modelDownloader } from "./load/model-downloader.ts";
import { isModelFile } from "./load/model-folder.ts";
import { trainingPlanner } from "./load/training-planner.ts";
import { requireModel } from "./nn/module.ts";
import { checkIsNotModel, checkMergedFolder, folderWriter, type WebFolder } from "./platform/web-folders.ts";
import { openWebDevice } from "./platform/web-gpu.ts";
import { checkOptions, either, objectOf, required, words } from "./util/options.ts";

export * from "./api.ts";
export { createWorkerEngine, type EngineOptions } from "./platform/web-engine.ts";

/** What downloads is loaded where something is: files that a page has need none of it. */
const resolveFiles: Platform["resolveFiles"] = async (reference, options) =>
  (await import("./platform/web-files.ts")).resolveModelFiles(reference, options);

const platform: Platform = { openDevice: openWebDevice, resolveFiles };

/** Loads a language model from a URL or a hub id. @throws LoraError as {@link Loaders.loadModel} says */
export const loadModel: Loaders["loadModel"] = /* @__PURE__ */ modelLoader(platform);

/** Loads a model of any task, with the head asked for. @throws LoraError as {@link Loaders.loadTaskModel} says */
export const loadTaskModel: Loaders["loadTaskModel"] = /* @__PURE__ */ taskModelLoader(platform);

/** What memory a run would take, and whether it fits. @throws LoraError as {@link Loaders.planTraining} says */
export const planTraining: Loaders["planTraining"] = /* @__PURE__ */ trainingPlanner(platform);

/** Downloads and checks a model's weights. @throws LoraError as {@link Loaders.downloadModel} says */
export const downloadModel: Loaders["downloadModel"] = /* @__PURE__ */ modelDownloader(platform);

/** Reads what makes tokens of rows, and no weights. @throws LoraError as {@link Loaders.loadModelText} says */
export const loadModelText: Loaders["loadModelText"] = /* @__PURE__ */ modelTextLoader(platform);

/** Puts a saved PEFT adapter on a model. @throws LoraError as {@link Loaders.loadAdapter} says */
export const loadAdapter: Loaders["loadAdapter"] = /* @__PURE__ */ adapterLoader(platform);

/**
 * Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 does, and the names of a classifier's classes.
 * Where the device was lost while training, it writes what {@link adapterFiles} has of it, which also serves a download.
 * @param folder one that the user chose, or a path in the storage of this site
 * @throws LoraError where the folder cannot be written to or the storage is full; what was there is then as before
 */
export async function saveAdapter(
  adapter: Adapter,
  folder: WebFolder,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkFolder("saveAdapter", folder);
  checkIsNotModel(folder, adapter.base.name);
  await folderWriter(folder).write(await adapterFiles(adapter, options), isSupersededByAdapter);
}

/**
 * Merges an adapter into the weights of its model and writes the whole model: `config.json`, weights, tokenizer.
 * The adapter stays on the model in memory, which is as before.
 * @param options where the model's files are found, as in {@link loadModel}; without any they are read where they were
 * @throws LoraError where the files are not there any more, the folder cannot be written to or the storage is full
 */
export async function saveMerged(
  model: LoadedModel,
  adapter: Adapter,
  folder: WebFolder,
  options: SourceOptions = {},
): Promise<void> {
  requireModel("saveMerged", model);
  checkFolder("saveMerged", folder);
  await checkMergedFolder(folder, model.name);
  checkOptions("saveMerged", options, SOURCE_RULES);
  requireAdapterOf("saveMerged", adapter, model.root);
  const isSame = Object.keys(options).length === 0;
  const files = (isSame && model.files) || (await resolveFiles(model.name, options));
  await folderWriter(folder).write(await mergedFiles(model, adapter, files), isModelFile);
}

const FOLDER = required(
  either(
    objectOf("a folder's handle", (folder) => "getFileHandle" in folder),
    words(),
  ),
);

/** @throws LoraError where it is no folder */
function checkFolder(where: string, folder: WebFolder): void {
  checkOptions(where, { folder }, { folder: FOLDER });
}

export { folderFiles, type WebFolder } from "./platform/web-folders.ts";
export { openWebDevice as openDevice } from "./platform/web-gpu.ts";
export { decodeWebImage as decodeImage } from "./platform/web-images.ts";
