import type { Device } from "../gpu/device.ts";
import type { FileContent } from "../io/files.ts";
import { writeSafetensors } from "../io/safetensors-writer.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { buildModel } from "../models/families.ts";
import type { LanguageModel } from "../models/model.ts";
import { randomWeights, shapeWeights } from "../nn/initial-weights.ts";
import { type Parameters, readParameters } from "../nn/parameters.ts";
import { encodeBf16 } from "../util/half.ts";
import { createRandom } from "../util/random.ts";

/**
 * A freshly initialised model of a Hugging Face config, all of it trainable.
 * @param seed the same seed gives the same weights
 */
export function createModel(
  device: Device,
  config: HfConfig,
  { seed = 0 }: { seed?: number } = {},
): { model: LanguageModel; parameters: Parameters } {
  const { root: shapes, requests } = shapeWeights(device);
  buildModel(device, config, shapes).release();
  const std = typeof config.initializer_range === "number" ? config.initializer_range : 0.02;
  const { root, parameters } = randomWeights(device, requests, { random: createRandom(seed), std });
  return { model: buildModel(device, config, root), parameters };
}

/** Number of parameters of the model that a config describes, counted from shapes alone. */
export function countParameters(device: Device, config: HfConfig): number {
  const { root, requests } = shapeWeights(device);
  buildModel(device, config, root).release();
  return requests.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/** `config.json` and `model.safetensors` in bf16, as transformers' `save_pretrained` lays them out. */
export async function modelFiles(
  config: HfConfig,
  parameters: Parameters,
): Promise<Map<string, FileContent>> {
  const values = await readParameters(parameters);
  const tensors = parameters.entries.map(({ name, tensor: { shape } }) => {
    const codes = encodeBf16(values.get(name) as Float32Array);
    return { name, dtype: "BF16" as const, shape: [...shape], data: new Uint8Array(codes.buffer) };
  });
  return new Map<string, FileContent>([
    ["config.json", `${JSON.stringify({ ...config, torch_dtype: "bfloat16" }, null, 2)}\n`],
    ["model.safetensors", writeSafetensors(tensors, { format: "pt" })],
  ]);
}
