import { join } from "node:path";
import type { Adapter } from "../../src/adapters/adapter.ts";
import type { Lora } from "../../src/adapters/lora/lora.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { ggufLora } from "../../src/io/formats/gguf/lora.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { requireGgufArchitecture } from "../../src/load/gguf-metadata.ts";
import { type GgufType, ggufModel } from "../../src/load/gguf-model.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import type { Model } from "../../src/load/model.ts";
import type { DecoderConfig } from "../../src/models/decoder.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";

/** A GGUF model with an adapter merged into it. @returns its path */
export async function writeModel(
  folder: string,
  model: Model,
  adapter: Adapter,
  files: FileSource,
  type: GgufType,
  name: string,
): Promise<string> {
  const { content, warnings } = await ggufModel(model, adapter, files, { type, dequantize: true });
  if (type === "f32") for (const warning of warnings) console.log(`  ${warning}`);
  await folderWriter(folder).write(new Map([[name, content]]));
  return join(folder, name);
}

/** A GGUF adapter. @returns its path */
export async function writeAdapter(folder: string, model: Model, adapter: Adapter<Lora>): Promise<string> {
  const files = await adapterFiles(adapter);
  const bytes = [...files].map(([name, content]): [string, Uint8Array] => [
    name,
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array),
  ]);
  const read = await readPeftAdapter(memoryFiles("adapter", new Map(bytes)));
  const { numHeads, numKvHeads } = model.config as unknown as DecoderConfig;
  const architecture = requireGgufArchitecture(model.modelType, model.name);
  const content = ggufLora(read, { architecture, numHeads, numKvHeads }, { name: "adapter" });
  await folderWriter(folder).write(new Map([["adapter.gguf", content]]));
  return join(folder, "adapter.gguf");
}
