import { Worker } from "node:worker_threads";
import { Engine } from "../engine/engine.ts";
import { Line } from "../engine/line.ts";
import type { EnginePort } from "../engine/protocol.ts";

/** Options of {@link createWorkerEngine}. */
export interface EngineOptions {
  /** A port at whose other end there is an engine; one in a new worker thread unless given. */
  readonly worker?: EnginePort;
}

/**
 * The library in a worker thread, so that the program stays quick while a model learns.
 * @throws LoraError where the thread does not start
 */
export async function createWorkerEngine({ worker }: EngineOptions = {}): Promise<Engine> {
  if (worker) return new Engine(await Line.open(worker, () => {}), () => {});
  const { port1, port2 } = new MessageChannel();
  const thread = new Worker(new URL("./node-worker.js", import.meta.url), {
    workerData: port2,
    transferList: [port2 as never], // the same class as Node's own, by another name
  });
  const watch = (failed: (reason: string) => void) =>
    thread.on("error", ({ message }) => failed(`the worker failed: ${message}`));
  return new Engine(await Line.open(port1, watch), () => {
    port1.close();
    thread.terminate();
  });
}
