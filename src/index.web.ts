// The package in browsers and in Deno.
import { createLoaders, type Loaders } from "./load/loaders.ts";
import { resolveModelFiles } from "./platform/web-files.ts";
import { openWebDevice } from "./platform/web-gpu.ts";

export * from "./api.ts";

const loaders = /* @__PURE__ */ createLoaders({ openDevice: openWebDevice, resolveFiles: resolveModelFiles });

/** Loads a language model from a URL or a hub id. @throws LoraError as {@link Loaders.loadModel} says */
export const loadModel: Loaders["loadModel"] = loaders.loadModel;

/** Loads a model of any task, with the head asked for. @throws LoraError as {@link Loaders.loadTaskModel} says */
export const loadTaskModel: Loaders["loadTaskModel"] = loaders.loadTaskModel;

/** What memory a run would take, and whether it fits. @throws LoraError as {@link Loaders.planTraining} says */
export const planTraining: Loaders["planTraining"] = loaders.planTraining;

/** Reads what makes tokens of rows, and no weights. @throws LoraError as {@link Loaders.loadModelText} says */
export const loadModelText: Loaders["loadModelText"] = loaders.loadModelText;

/** Puts a saved PEFT adapter on a model. @throws LoraError as {@link Loaders.loadAdapter} says */
export const loadAdapter: Loaders["loadAdapter"] = loaders.loadAdapter;

export { openWebDevice as openDevice } from "./platform/web-gpu.ts";
export { decodeWebImage as decodeImage } from "./platform/web-images.ts";
