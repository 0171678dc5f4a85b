import type { Adapter } from "../../src/adapters/adapter.ts";
import type { Device } from "../../src/gpu/device.ts";
import { elementCount } from "../../src/gpu/tensor.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { initializerRange } from "../../src/load/initializer-range.ts";
import { buildModel } from "../../src/models/families.ts";
import { initialValues, shapeWeights } from "../../src/nn/initial-weights.ts";
import { encodeF16 } from "../../src/util/half.ts";
import { createRandom } from "../../src/util/random.ts";
import type { Case } from "./cases.ts";
import { tokenizerFiles } from "./tokenizers.ts";

/** A checkpoint of random F16 weights with a tokenizer; norms and biases are random, too. */
export function randomCheckpoint(device: Device, each: Case): FileSource {
  const { root, requests } = shapeWeights(device);
  buildModel(device, each.config, root).release();
  const random = createRandom(7);
  const std = initializerRange(each.config);
  const tensors = requests.map(({ name, shape, init }): TensorEntry => {
    const values = initialValues(elementCount(shape), init, random.fork(name), std);
    const noise = random.fork(`${name} moved`);
    const moved = init === "normal" ? values : values.map((value) => value + 0.2 * noise.normal());
    return { name, dtype: "F16", shape, data: new Uint8Array(encodeF16(moved).buffer) };
  });
  const texts = { "config.json": { ...each.config, torch_dtype: "float16" }, ...tokenizerFiles(each) };
  const encoded = Object.entries(texts).map(([name, json]): [string, Uint8Array] => [
    name,
    new TextEncoder().encode(JSON.stringify(json)),
  ]);
  const weights = writeSafetensors(tensors, { format: "pt" });
  return memoryFiles(each.name, new Map([...encoded, ["model.safetensors", weights]]));
}

/** Gives an adapter's B values: they begin at zero. */
export function stir(adapter: Adapter): void {
  const random = createRandom(11);
  for (const { module, tensors } of adapter.sites) {
    const own = random.fork(module.path);
    const B = tensors.lora_B;
    B?.write(Float32Array.from({ length: B.size }, () => 0.05 * own.normal()));
  }
}
