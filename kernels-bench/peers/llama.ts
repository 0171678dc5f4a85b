// llama.cpp, by way of node-llama-cpp.
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { FileSource } from "../../src/io/files/files.ts";
import { ggufModel } from "../../src/load/gguf-model.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import type { Decoder } from "./decoder.ts";
import { importPeer } from "./engine.ts";

interface Sequence {
  evaluate(tokens: number[], options: object): AsyncGenerator<number>;
  clearHistory(): Promise<void>;
}

interface LlamaModel {
  createContext(options: object): Promise<{ getSequence(): Sequence }>;
  dispose(): Promise<void>;
}

interface Llama {
  readonly gpu: string | false;
  getGpuDeviceNames(): Promise<string[]>;
  loadModel(options: object): Promise<LlamaModel>;
}

interface NodeLlama {
  getLlama(options: object): Promise<Llama>;
  readonly LlamaLogLevel: { readonly error: string };
}

/**
 * The model as our own exporter writes it: on the first Vulkan device there is, which may be a software one, or on the CPU.
 * @param capacity tokens of a text
 */
export async function llamaDecoder(
  model: LoadedModel,
  files: FileSource,
  capacity: number,
  version: string,
  backend: "vulkan" | "cpu",
): Promise<Decoder> {
  process.env.GGML_VK_VISIBLE_DEVICES ??= "0"; // unset, it takes no software device
  const { getLlama, LlamaLogLevel } = await importPeer<NodeLlama>("node-llama-cpp");
  const llama = await getLlama({
    gpu: backend === "vulkan" ? "vulkan" : false,
    build: "never",
    logLevel: LlamaLogLevel.error,
  });
  const folder = await mkdtemp(join(tmpdir(), "webgpu-lora-llama-"));
  try {
    const modelPath = join(folder, "model.gguf");
    await writeGguf(model, files, modelPath);
    const loaded = await llama.loadModel({ modelPath, gpuLayers: backend === "vulkan" ? "max" : 0 });
    const context = await loaded.createContext({ contextSize: capacity, sequences: 1 });
    const sequence = context.getSequence();
    return {
      name: `llama.cpp ${llama.gpu || "CPU"} f16`,
      version,
      async *write(prompt) {
        await sequence.clearHistory();
        yield* sequence.evaluate([...prompt], { temperature: 0, yieldEogToken: true });
      },
      release: () => loaded.dispose(),
    };
  } finally {
    await rm(folder, { recursive: true }); // the file is in memory, or kept by whoever has it open
  }
}

/** The bf16 weights as f16, with an adapter that changes nothing: the exporter merges one. */
async function writeGguf(model: LoadedModel, files: FileSource, path: string): Promise<void> {
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
