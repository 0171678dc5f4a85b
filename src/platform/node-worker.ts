// The engine in a worker thread of Node.
import { rm } from "node:fs/promises";
import { workerData } from "node:worker_threads";
import { serveEngine } from "../engine/host.ts";
import type { Folder } from "../engine/platform.ts";
import type { EnginePort } from "../engine/protocol.ts";
import { loadAdapter, loadModel, loadTaskModel, openDevice, saveAdapter } from "../index.node.ts";
import { fail } from "../util/fail.ts";
import { folderFiles } from "./node-files.ts";
import { claimFolder } from "./node-folders/folder-lock.ts";
import { folderWriter } from "./node-folders/folder-writer.ts";
import { nodeHash } from "./node-hash.ts";
import { resolveModelFiles } from "./node-sources.ts";

/** @throws LoraError where it is no path */
function pathOf(folder: Folder): string {
  return typeof folder === "string" ? folder : fail("engine", "this is no path of a folder", "give one");
}

serveEngine(workerData as EnginePort, {
  ...{
    loadAdapter,
    loadModel,
    loadTaskModel,
    openDevice,
    folderWriter,
    claimFolder,
    resolveFiles: resolveModelFiles,
  },
  saveAdapter: async (adapter, folder, options) => saveAdapter(adapter, pathOf(folder), options),
  folderFiles: (folder) => folderFiles(pathOf(folder)),
  removeFolder: (path) => rm(path, { recursive: true, force: true }),
  hash: nodeHash,
});
