import { Engine } from "../engine/engine.ts";
import { Line } from "../engine/line.ts";
import type { EnginePort } from "../engine/protocol.ts";

/** Options of {@link createWorkerEngine}. */
export interface EngineOptions {
  /**
   * The worker, where a bundler does not find it by itself: `new Worker(URL, { type: "module" })` of the package's `./worker`; or the
   * port of one that many share.
   */
  readonly worker?: EnginePort;
}

/**
 * The library in a worker of its own, so that the page stays quick while a model learns.
 * @throws LoraError where the worker's script does not load
 */
export async function createWorkerEngine({ worker = startWorker() }: EngineOptions = {}): Promise<Engine> {
  const thread = worker instanceof Worker ? worker : undefined; // a port has neither an error nor an end
  const watch = (failed: (reason: string) => void) => {
    if (!thread) return;
    thread.onerror = ({ message }) => failed(`the worker failed: ${message || "its script did not load"}`);
  };
  return new Engine(await Line.open(worker, watch), () => thread?.terminate());
}

/** Written as bundlers know it: they bundle the worker, too. */
function startWorker(): EnginePort {
  return new Worker(new URL("./web-worker.js", import.meta.url), { type: "module" });
}
