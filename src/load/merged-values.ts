import type { SafetensorsDtype } from "../io/formats/safetensors.ts";
import type { TensorSpec } from "../io/formats/safetensors-writer.ts";
import { byteView, float32View, uint16View } from "../util/bytes.ts";
import { fail } from "../util/fail.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../util/half.ts";

// A merged model's values in the checkpoint's number formats.

/** Largest values of the formats that a merge writes; bf16 reaches as far as f32. */
const LARGEST: Partial<Record<SafetensorsDtype, number>> = { F16: 65_504 };

/** A model with such values would compute nothing but NaN. */
export function checkRange(values: Float32Array, { name, dtype }: TensorSpec): void {
  const largest = LARGEST[dtype] ?? 3.4e38;
  if (values.every((value) => Math.abs(value) <= largest)) return; // NaN is not
  fail("merge", `${name} would hold NaN or Infinity`, "take an adapter from before its training diverged");
}

/** f32 values in a checkpoint's number format, rounded to nearest. */
export function encode(values: Float32Array, { name, dtype }: TensorSpec): Uint8Array {
  const encoders: Partial<Record<SafetensorsDtype, () => Float32Array | Uint16Array>> = {
    F32: () => values,
    BF16: () => encodeBf16(values),
    F16: () => encodeF16(values),
  };
  return byteView(encoders[dtype]?.() ?? fail("merge", `${name} is ${dtype}, wanted F32, BF16 or F16`));
}

/** A checkpoint's values as f32. */
export function decode(bytes: Uint8Array, { name, dtype }: TensorSpec): Float32Array {
  const decoders: Partial<Record<SafetensorsDtype, () => Float32Array>> = {
    F32: () => float32View(bytes),
    BF16: () => decodeBf16(uint16View(bytes)),
    F16: () => decodeF16(uint16View(bytes)),
  };
  return decoders[dtype]?.() ?? fail("merge", `${name} is ${dtype}, wanted F32, BF16 or F16`);
}
