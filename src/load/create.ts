import type { Device } from "../gpu/device.ts";
import { elementCount } from "../gpu/tensor.ts";
import { writeSafetensors } from "../io/formats/safetensors-writer.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { buildModel } from "../models/families.ts";
import { type ModelOf, requireTask, type Task } from "../models/model.ts";
import { randomWeights, type ShapeRequest, shapeWeights } from "../nn/initial-weights.ts";
import { type Parameters, readParameters } from "../nn/parameters.ts";
import { storedShape } from "../nn/weights.ts";
import { encodeBf16 } from "../util/half.ts";
import { createRandom } from "../util/random.ts";
import { transposeStack } from "../util/transpose.ts";
import { initializerRange } from "./initializer-range.ts";

/**
 * A freshly initialised model of a Hugging Face config, all of it trainable.
 * @param seed the same seed gives the same weights
 * @param task the head that is wanted; a causal language model's unless given
 */
export function createModel<T extends Task = "causal-lm">(
  device: Device,
  config: HfConfig,
  { seed = 0, task = "causal-lm" as T }: { seed?: number; task?: T } = {},
): { model: ModelOf[T]; parameters: Parameters } {
  const { root, parameters } = randomWeights(device, requestsOf(device, config, task), {
    random: createRandom(seed),
    std: initializerRange(config),
  });
  return { model: requireTask(buildModel(device, config, root, task), task), parameters };
}

/** Every tensor that the model of a config asks for. */
function requestsOf(device: Device, config: HfConfig, task?: Task): ShapeRequest[] {
  const { root, requests } = shapeWeights(device);
  buildModel(device, config, root, task).release();
  return requests;
}

/** Number of parameters of the model that a config describes, counted from shapes alone. */
export function countParameters(device: Device, config: HfConfig, task?: Task): number {
  return requestsOf(device, config, task).reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** `config.json` and `model.safetensors` in bf16, as transformers' `save_pretrained` lays them out. */
export async function modelFiles(config: HfConfig, parameters: Parameters): Promise<Map<string, Uint8Array>> {
  const values = await readParameters(parameters);
  const requests = requestsOf(parameters.flat.device, config);
  const tensors = requests.map(({ name, shape, transposed, stack }) => {
    const plain = values.get(name) as Float32Array;
    const codes = encodeBf16(transposed ? transposeStack(plain, shape, stack) : plain);
    const stored = storedShape(shape, { transposed, stack });
    return { name, dtype: "BF16" as const, shape: stored, data: new Uint8Array(codes.buffer) };
  });
  const json = `${JSON.stringify({ ...config, torch_dtype: "bfloat16" }, null, 2)}\n`;
  return new Map([
    ["config.json", new TextEncoder().encode(json)],
    ["model.safetensors", writeSafetensors(tensors, { format: "pt" })],
  ]);
}
