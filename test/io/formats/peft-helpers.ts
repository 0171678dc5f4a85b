import { type TensorEntry, writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { readPeftAdapter } from "../../../src/load/lora-files.ts";
import { encodeBf16, encodeF16 } from "../../../src/util/half.ts";
import type { HostTensor } from "../../../src/util/host-tensor.ts";
import { errorOf, filesOf } from "../helpers.ts";

export const CONFIG = "adapter_config.json";
export const WEIGHTS = "adapter_model.safetensors";
export const Q = "model.layers.0.self_attn.q_proj";
export const V = "model.layers.1.self_attn.v_proj";

/** A tensor of small whole numbers, which every float type holds exactly. */
export function tensor(...shape: number[]): HostTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return { shape, data: Float32Array.from({ length: count }, (_, i) => i - 3) };
}

export function entry(
  name: string,
  { shape, data }: HostTensor,
  dtype: TensorEntry["dtype"] = "F32",
): TensorEntry {
  const codes = dtype === "F16" ? encodeF16(data) : dtype === "BF16" ? encodeBf16(data) : data;
  return { name, dtype, shape, data: new Uint8Array(codes.buffer) };
}

/** Names and shapes as a file. */
export function weights(shapes: Record<string, number[]>): Uint8Array {
  return writeSafetensors(Object.entries(shapes).map(([name, shape]) => entry(name, tensor(...shape))));
}

export const GOOD = {
  [`base_model.model.${Q}.lora_A.weight`]: [2, 3],
  [`base_model.model.${Q}.lora_B.weight`]: [4, 2],
};

/** The files of a small adapter of rank 2, whose configuration has these fields besides. */
export function adapterFiles(config: object = {}, shapes: Record<string, number[]> = GOOD) {
  return filesOf({ [CONFIG]: { peft_type: "LORA", r: 2, ...config }, [WEIGHTS]: weights(shapes) });
}

export async function messageOf(config: object, shapes?: Record<string, number[]>): Promise<string> {
  return (await errorOf(() => readPeftAdapter(adapterFiles(config, shapes)))).message;
}
