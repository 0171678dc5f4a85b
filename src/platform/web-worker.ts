// The engine in a page's worker.
import { serveEngine } from "../engine/host.ts";
import type { EnginePort } from "../engine/protocol.ts";
import { loadAdapter, loadModel, loadTaskModel, openDevice, saveAdapter } from "../index.web.ts";
import { resolveModelFiles } from "./web-files.ts";
import { folderFiles, folderWriter, removeFolder } from "./web-folders.ts";
import { webHash } from "./web-hash.ts";
import { claimFolder } from "./web-locks.ts";

/**
 * Where its process for graphics crashed twice in two minutes, Chromium gives a page no device until they are over, or the page is loaded
 * anew.
 */
const COMEBACK_MS = 150_000;

serveEngine(globalThis as unknown as EnginePort, {
  ...{ loadAdapter, loadModel, loadTaskModel, openDevice, saveAdapter },
  ...{ folderFiles, folderWriter, removeFolder, claimFolder, resolveFiles: resolveModelFiles },
  hash: webHash,
  comebackMs: COMEBACK_MS,
});
