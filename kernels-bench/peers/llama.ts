// llama.cpp, by way of node-llama-cpp.
import { open } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { FileSource } from "../../src/io/files/files.ts";
import { ggufModel } from "../../src/load/gguf-model.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import { importPeer } from "./engine.ts";
import { peerVersion } from "./engines.ts";
import { answerLines } from "./process-decoder.ts";

interface Sequence {
  evaluate(tokens: number[], options: object): AsyncGenerator<number>;
  clearHistory(): Promise<void>;
}

interface LlamaModel {
  createContext(options: object): Promise<{ getSequence(): Sequence }>;
}

interface Llama {
  loadModel(options: object): Promise<LlamaModel>;
}

interface NodeLlama {
  getLlama(options: object): Promise<Llama>;
  readonly LlamaLogLevel: { readonly error: string };
}

export type LlamaBackend = "vulkan" | "cpu";

/**
 * Continues texts with llama.cpp for whoever asks on the standard input: on the first Vulkan device there is, which may be a
 * software one, or on the CPU.
 * @param capacity tokens of a text
 */
export async function answerWithLlama(
  backend: LlamaBackend,
  modelPath: string,
  capacity: number,
): Promise<void> {
  process.env.GGML_VK_VISIBLE_DEVICES ??= "0"; // unset, it takes no software device
  const { getLlama, LlamaLogLevel } = await importPeer<NodeLlama>("node-llama-cpp");
  const llama = await getLlama({
    gpu: backend === "vulkan" ? "vulkan" : false,
    build: "never",
    logLevel: LlamaLogLevel.error,
  });
  const loaded = await llama.loadModel({ modelPath, gpuLayers: backend === "vulkan" ? "max" : 0 });
  // Left alone it takes four threads at least, which wait for each other in loops: on two cores a token takes a hundred times as long.
  const threads = availableParallelism();
  const context = await loaded.createContext({ contextSize: capacity, sequences: 1, threads });
  const sequence = context.getSequence();
  await answerLines(peerVersion("node-llama-cpp"), async function* (prompt) {
    await sequence.clearHistory();
    yield* sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true });
  });
}

/** The model as our own exporter writes it: the bf16 weights as f16, with an adapter that changes nothing, as it merges one. */
export async function writeGguf(model: LoadedModel, files: FileSource, path: string): Promise<void> {
  const adapter = attach(model, lora({ r: 1, targetModules: ["q_proj"] }));
  const { content } = await ggufModel(model, adapter, files, { type: "f16" });
  adapter.release();
  const file = await open(path, "w");
  try {
    for await (const bytes of content) await file.writeFile(bytes);
  } finally {
    await file.close();
  }
}
