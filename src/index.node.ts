// The package in Node.
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
import { trainingPlanner } from "./load/training-planner.ts";
import { requireModel } from "./nn/module.ts";
import { folderWriter } from "./platform/node-folders/folder-writer.ts";
import { checkIsNotModel, checkMergedFolder, supersededIn } from "./platform/node-folders/merged-folder.ts";
import { withoutOthersCard } from "./platform/node-folders/own-card.ts";
import { openNodeDevice } from "./platform/node-gpu.ts";
import { resolveModelFiles } from "./platform/node-sources.ts";

import { checkOptions, required, words } from "./util/options.ts";

export * from "./api.ts";
export { createWorkerEngine, type EngineOptions } from "./platform/node-engine.ts";

const platform: Platform = { openDevice: openNodeDevice, resolveFiles: resolveModelFiles };

/** Loads a language model from a folder, a URL or a hub id. @throws LoraError as {@link Loaders.loadModel} says */
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
 * Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 does, and the names of a classifier's classes:
 * all or none, whatever ends the process. Where the device was lost while training, it writes what {@link adapterFiles}
 * has of it. A `README.md` that was written by somebody else stays.
 * @throws LoraError where the folder is the model's own or cannot be written to, another process writes into it or the disk
 * is full; what was there is then as before
 */
export async function saveAdapter(
  adapter: Adapter,
  folder: string,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkFolder("saveAdapter", folder);
  const files = await adapterFiles(adapter, options);
  if (adapter.base.name !== undefined) await checkIsNotModel(folder, adapter.base.name);
  await folderWriter(folder).write(await withoutOthersCard(folder, files), isSupersededByAdapter);
}

/**
 * Merges an adapter into the weights of its model and writes the whole model: `config.json`, weights, tokenizer.
 * Such files of a model that was in the folder before go; other files stay. The adapter stays on the model in memory,
 * which is as before.
 * @param options where the model's files are found, as in {@link loadModel}; without any they are read where they were
 * @throws LoraError where the files are not there any more, or the folder cannot be written to, is written to by another
 * process, is the model's own or holds an adapter
 */
export async function saveMerged(
  model: LoadedModel,
  adapter: Adapter,
  folder: string,
  options: SourceOptions = {},
): Promise<void> {
  requireModel("saveMerged", model);
  checkFolder("saveMerged", folder);
  await checkMergedFolder(folder, model.name);
  checkOptions("saveMerged", options, SOURCE_RULES);
  requireAdapterOf("saveMerged", adapter, model.root);
  const isSame = Object.keys(options).length === 0;
  const files = (isSame && model.files) || (await resolveModelFiles(model.name, options));
  await folderWriter(folder).write(await mergedFiles(model, adapter, files), await supersededIn(folder));
}

export { nodeDataFile as dataFile } from "./platform/node-data-file.ts";
export { folderFiles } from "./platform/node-files.ts";
export { openNodeDevice as openDevice } from "./platform/node-gpu.ts";
export { decodeNodeImage as decodeImage } from "./platform/node-images.ts";
export { nodeSpill as temporaryFile } from "./platform/node-spill.ts";
export { openTorchPeers, shareOf, type TorchPeers } from "./platform/node-torch-peers.ts";

/** @throws LoraError where the folder to write to is no text, or an empty one */
function checkFolder(where: string, folder: string): void {
  checkOptions(where, { folder }, { folder: required(words()) });
}
