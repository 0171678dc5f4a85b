import { float32View, float64View, uint16View } from "../../util/bytes.ts";
import { failAll } from "../../util/fail.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { isObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import type { FileSource } from "../files/files.ts";
import { failWithoutWeights, isMlxConfig, MLX_HELP, refuseMisnamed } from "./peft-foreign.ts";
import { PEFT_WEIGHTS } from "./peft-names.ts";
import { readHeader, type SafetensorsHeader, type TensorInfo } from "./safetensors.ts";

const NO_CONFIG = "this is no PEFT adapter configuration; PEFT's save_pretrained writes one";

/** @throws LoraError where a value is no configuration of PEFT's */
export function requirePeftJson(json: unknown, where: string): Readonly<Record<string, unknown>> {
  if (!isObject(json))
    return failAll(where, [`it is ${shown(json)}, expected an object`], NO_CONFIG) as never;
  if (isMlxConfig(json))
    failAll(where, ["this is the configuration of an mlx-lm adapter, not of PEFT's"], MLX_HELP);
  if (json.peft_type === undefined) failAll(where, ["peft_type is missing"], NO_CONFIG);
  return json;
}

/** What the file of an adapter's tensors holds. @throws LoraError saying what is there instead */
export async function readPeftHeader(files: FileSource, weights = PEFT_WEIGHTS): Promise<SafetensorsHeader> {
  const size = await files.size(weights);
  if (size === undefined) return failWithoutWeights(files, weights);
  await refuseMisnamed(files, size, weights);
  return readHeader(files, weights);
}

/** Bytes of one read: few requests over a network, and never a whole large file twice in memory. */
const BATCH_BYTES = 64 * 1024 * 1024;

/** The tensors by name, f64 rounded to f32. Neighbours in the file are read together. */
export async function readPeftTensors(
  files: FileSource,
  infos: readonly TensorInfo[],
  weights = PEFT_WEIGHTS,
): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const batch of batches(infos)) {
    const start = batch[0]!.begin;
    const bytes = await files.read(weights, start, batch.at(-1)!.end);
    for (const info of batch) {
      const data = decode(info, bytes.slice(info.begin - start, info.end - start));
      tensors.set(info.name, { shape: info.shape, data });
    }
  }
  return tensors;
}

function batches(infos: readonly TensorInfo[]): TensorInfo[][] {
  const groups: TensorInfo[][] = [];
  for (const info of infos.toSorted((a, b) => a.begin - b.begin)) {
    const last = groups.at(-1);
    if (last && info.end - last[0]!.begin <= BATCH_BYTES) last.push(info);
    else groups.push([info]);
  }
  return groups;
}

function decode({ dtype }: TensorInfo, bytes: Uint8Array): Float32Array {
  if (dtype === "F32") return float32View(bytes);
  if (dtype === "F64") return Float32Array.from(float64View(bytes));
  return dtype === "F16" ? decodeF16(uint16View(bytes)) : decodeBf16(uint16View(bytes));
}
