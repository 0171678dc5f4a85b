import { rmSync } from "node:fs";
import { onTestFinished } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import { serveEngine } from "../../src/engine/host.ts";
import { Line } from "../../src/engine/line.ts";
import type { EnginePlatform } from "../../src/engine/platform.ts";
import { loadAdapter, loadModel, loadTaskModel, saveAdapter } from "../../src/index.node.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { claimFolder } from "../../src/platform/node-folders/folder-lock.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { nodeHash } from "../../src/platform/node-hash.ts";
import { resolveModelFiles } from "../../src/platform/node-sources.ts";
import { testDevice } from "../support/device.ts";

/** An engine at the other end of a channel, in this thread, on the device of all tests: all that crosses is cloned. */
export async function openNodeEngine(changes: Partial<EnginePlatform> = {}): Promise<Engine> {
  const { port1, port2 } = new MessageChannel();
  serveEngine(port2, {
    ...{ loadAdapter, loadModel, loadTaskModel, folderWriter, claimFolder, resolveFiles: resolveModelFiles },
    openDevice: testDevice,
    saveAdapter: (adapter, folder, options) => saveAdapter(adapter, folder as string, options),
    folderFiles: (folder) => folderFiles(folder as string),
    removeFolder: async (path) => rmSync(path, { recursive: true, force: true }),
    hash: nodeHash,
    ...changes,
  });
  const engine = new Engine(await Line.open(port1, () => {}), () => {});
  onTestFinished(() => {
    engine.close();
    for (const port of [port1, port2]) port.close();
  });
  return engine;
}
