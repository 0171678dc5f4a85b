// The package in browsers.
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
import { isModelFile } from "./load/model-folder.ts";
import { adapterSaver, type Folders, type Savers } from "./load/savers.ts";
import { trainingPlanner } from "./load/training-planner.ts";
import {
  checkIsNotModel,
  checkMergedFolder,
  FOLDER,
  folderWriter,
  type WebFolder,
} from "./platform/web-folders.ts";
import { openWebDevice } from "./platform/web-gpu.ts";

export * from "./api.ts";
export { createWorkerEngine, type EngineOptions } from "./platform/web-engine.ts";

/** What downloads is loaded where something is: files that a page has need none of it. */
const resolveFiles: Platform["resolveFiles"] = async (reference, options) =>
  (await import("./platform/web-files.ts")).resolveModelFiles(reference, options);

const platform: Platform = { openDevice: openWebDevice, resolveFiles };

const folders: Folders<WebFolder> = {
  folder: FOLDER,
  checkIsNotModel,
  checkMergedFolder,
  superseded: () => isModelFile,
  writer: folderWriter,
};

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

/** Writes an adapter into a folder as PEFT does. @throws LoraError as {@link Savers.saveAdapter} says */
export const saveAdapter: Savers<WebFolder>["saveAdapter"] = /* @__PURE__ */ adapterSaver(folders);

/** Writes a model with an adapter merged into it. @throws LoraError as {@link Savers.saveMerged} says */
export const saveMerged: Savers<WebFolder>["saveMerged"] = /* @__PURE__ */ mergedSaver(folders, platform);

export { folderFiles, type WebFolder } from "./platform/web-folders.ts";
export { openWebDevice as openDevice } from "./platform/web-gpu.ts";
export { decodeWebImage as decodeImage } from "./platform/web-images.ts";
