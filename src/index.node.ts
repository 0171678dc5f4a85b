// The package in Node.
import {
  adapterLoader,
  type Loaders,
  modelLoader,
  modelTextLoader,
  type Platform,
  taskModelLoader,
} from "./load/loaders.ts";
import { mergedSaver } from "./load/merged-saver.ts";
import { modelDownloader } from "./load/model-downloader.ts";
import { adapterSaver, type Folders, type Savers } from "./load/savers.ts";
import { trainingPlanner } from "./load/training-planner.ts";
import { folderWriter } from "./platform/node-folders/folder-writer.ts";
import { checkIsNotModel, checkMergedFolder, supersededIn } from "./platform/node-folders/merged-folder.ts";
import { withoutOthersCard } from "./platform/node-folders/own-card.ts";
import { openNodeDevice } from "./platform/node-gpu.ts";
import { resolveModelFiles } from "./platform/node-sources.ts";
import { required, words } from "./util/options.ts";

export * from "./api.ts";
export { createWorkerEngine, type EngineOptions } from "./platform/node-engine.ts";

const platform: Platform = { openDevice: openNodeDevice, resolveFiles: resolveModelFiles };

const folders: Folders<string> = {
  folder: required(words()),
  checkIsNotModel,
  checkMergedFolder,
  ownFiles: withoutOthersCard,
  superseded: supersededIn,
  writer: folderWriter,
};

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

/** Writes an adapter into a folder as PEFT does. @throws LoraError as {@link Savers.saveAdapter} says */
export const saveAdapter: Savers<string>["saveAdapter"] = /* @__PURE__ */ adapterSaver(folders);

/** Writes a model with an adapter merged into it. @throws LoraError as {@link Savers.saveMerged} says */
export const saveMerged: Savers<string>["saveMerged"] = /* @__PURE__ */ mergedSaver(folders, platform);

export { nodeDataFile as dataFile } from "./platform/node-data-file.ts";
export { folderFiles } from "./platform/node-files.ts";
export { openNodeDevice as openDevice } from "./platform/node-gpu.ts";
export { decodeNodeImage as decodeImage } from "./platform/node-images.ts";
export { nodeSpill as temporaryFile } from "./platform/node-spill.ts";
export { openTorchPeers, shareOf, type TorchPeers } from "./platform/node-torch-peers.ts";
