import { float32View, float64View, uint16View } from "../../util/bytes.ts";
import { failAll } from "../../util/fail.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";
import { isObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import { type FileSource, readJson } from "../files/files.ts";
import { pythonJson } from "../json/python-json.ts";
import {
  failWithoutWeights,
  isMlxConfig,
  MLX_HELP,
  PEFT_CONFIG,
  PEFT_WEIGHTS,
  refuseMisnamed,
} from "./peft-foreign.ts";
import { readHeader, type SafetensorsHeader, type TensorInfo } from "./safetensors.ts";
import { type TensorEntry, writeSafetensors } from "./safetensors-writer.ts";

/** A tensor in main memory: row-major f32. */
interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * The files of an adapter, byte for byte what PEFT 0.21 saves for the same tensors in f32.
 * @param config all its fields; `inference_mode` is written true, as PEFT does
 * @param floats fields whose numbers Python holds as floats
 * @param tensors by their whole names in the file
 */
export function peftFileContents(
  config: object,
  floats: readonly string[],
  tensors: ReadonlyMap<string, HostTensor>,
): Map<string, Uint8Array | string> {
  const entries = [...tensors].map(([name, { shape, data }]): TensorEntry => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { name, dtype: "F32", shape, data: bytes };
  });
  return new Map<string, Uint8Array | string>([
    [PEFT_CONFIG, peftConfigText(config, floats)],
    [PEFT_WEIGHTS, writeSafetensors(entries, { format: "pt" })],
  ]);
}

/** The text of `adapter_config.json`, byte for byte as PEFT 0.21 saves it, without a newline at the end. */
export function peftConfigText(config: object, floats: readonly string[]): string {
  return pythonJson({ ...config, inference_mode: true }, (key) => floats.includes(key));
}

/** The value of `adapter_config.json`. @throws LoraError where it is no configuration of PEFT's */
export async function readPeftJson(files: FileSource): Promise<Readonly<Record<string, unknown>>> {
  return requirePeftJson(await readJson(files, PEFT_CONFIG), `${files.label}/${PEFT_CONFIG}`);
}

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

/** What `adapter_model.safetensors` holds. @throws LoraError saying what is there instead */
export async function readPeftHeader(files: FileSource): Promise<SafetensorsHeader> {
  const size = await files.size(PEFT_WEIGHTS);
  if (size === undefined) return failWithoutWeights(files);
  await refuseMisnamed(files, size);
  return readHeader(files, PEFT_WEIGHTS);
}

/** Bytes of one read: few requests over a network, and never a whole large file twice in memory. */
const BATCH_BYTES = 64 * 1024 * 1024;

/** The tensors by name, f64 rounded to f32. Neighbours in the file are read together. */
export async function readPeftTensors(
  files: FileSource,
  infos: readonly TensorInfo[],
): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const batch of batches(infos)) {
    const start = batch[0]!.begin;
    const bytes = await files.read(PEFT_WEIGHTS, start, batch.at(-1)!.end);
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
