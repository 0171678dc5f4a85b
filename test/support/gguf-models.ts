import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Device } from "../../src/gpu/device.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { type GgufType, ggufModel } from "../../src/load/gguf-model.ts";
import { openModel } from "../../src/load/model.ts";
import { resolveModel } from "../../src/load/model-source.ts";
import { concatBytes } from "../../src/util/bytes.ts";

/** The name of a GGUF file in a folder of its own. */
export const GGUF_NAME = "model.gguf";

/** A model as a GGUF file, with nothing merged into it. */
export async function exportGguf(
  device: Device,
  files: FileSource,
  type: GgufType = "f32",
): Promise<Uint8Array> {
  const model = await openModel(files, device);
  const adapter = attach(model, lora({ r: 1, targetModules: "all-linear" })); // B is zero
  const { content } = await ggufModel(model, adapter, files, { type });
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  adapter.release();
  model.release();
  return concatBytes(chunks);
}

/** A GGUF file as a model's files. */
export function ggufSource(bytes: Uint8Array, others: Readonly<Record<string, Uint8Array>> = {}) {
  const folder = memoryFiles("folder", new Map(Object.entries({ ...others, [GGUF_NAME]: bytes })));
  return resolveModel(`folder/${GGUF_NAME}`, async () => folder);
}
