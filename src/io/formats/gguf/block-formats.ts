import { byteView, float32View, uint16View } from "../../../util/bytes.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../../util/half.ts";

/**
 * How numbers lie in a tensor of a GGUF file: in blocks along the last axis. Numbers and layouts are those of ggml
 * (`ggml.h`, `ggml-common.h`); a type without `decode` is known by its name and size, and not read.
 */
export interface BlockFormat {
  /** ggml's number of the type. */
  readonly id: number;
  /** Values of a block; rows are whole numbers of blocks. */
  readonly elements: number;
  /** Bytes of a block. */
  readonly bytes: number;
  /** Whole blocks → their values. */
  readonly decode?: (bytes: Uint8Array) => Float32Array;
  /** Values of whole blocks → their bytes. */
  readonly encode?: (values: Float32Array) => Uint8Array;
}

const known = (id: number, elements: number, bytes: number): BlockFormat => ({ id, elements, bytes });

/** The types of tensors by ggml's names. */
export const BLOCK_FORMATS = {
  F32: { id: 0, elements: 1, bytes: 4, decode: float32View, encode: byteView },
  F16: {
    ...{ id: 1, elements: 1, bytes: 2 },
    decode: (bytes) => decodeF16(uint16View(bytes)),
    encode: (values) => byteView(encodeF16(values)),
  },
  Q4_0: known(2, 32, 18),
  Q4_1: known(3, 32, 20),
  Q5_0: known(6, 32, 22),
  Q5_1: known(7, 32, 24),
  Q8_0: { id: 8, elements: 32, bytes: 34, decode: decodeQ8, encode: encodeQ8 },
  Q8_1: known(9, 32, 40),
  Q2_K: known(10, 256, 84),
  Q3_K: known(11, 256, 110),
  Q4_K: known(12, 256, 144),
  Q5_K: known(13, 256, 176),
  Q6_K: known(14, 256, 210),
  Q8_K: known(15, 256, 292),
  IQ2_XXS: known(16, 256, 66),
  IQ2_XS: known(17, 256, 74),
  IQ3_XXS: known(18, 256, 98),
  IQ1_S: known(19, 256, 50),
  IQ4_NL: known(20, 32, 18),
  IQ3_S: known(21, 256, 110),
  IQ2_S: known(22, 256, 82),
  IQ4_XS: known(23, 256, 136),
  I8: known(24, 1, 1),
  I16: known(25, 1, 2),
  I32: known(26, 1, 4),
  I64: known(27, 1, 8),
  F64: known(28, 1, 8),
  IQ1_M: known(29, 256, 56),
  BF16: {
    ...{ id: 30, elements: 1, bytes: 2 },
    decode: (bytes) => decodeBf16(uint16View(bytes)),
    encode: (values) => byteView(encodeBf16(values)),
  },
  TQ1_0: known(34, 256, 54),
  TQ2_0: known(35, 256, 66),
  MXFP4: known(39, 32, 17),
  NVFP4: known(40, 64, 36),
  Q1_0: known(41, 128, 18),
} as const satisfies Readonly<Record<string, BlockFormat>>;

/** The name of a type of tensors. */
export type BlockType = keyof typeof BLOCK_FORMATS;

const BY_ID: ReadonlyMap<number, BlockType> = new Map(
  Object.entries(BLOCK_FORMATS).map(([name, { id }]) => [id, name as BlockType]),
);

/** The type that ggml gives a number. */
export function blockType(id: number): BlockType | undefined {
  return BY_ID.get(id);
}

/** What is known of a type. */
export function blockFormat(type: BlockType): BlockFormat {
  return BLOCK_FORMATS[type];
}

/** Bytes of a tensor, or undefined where its rows are no whole numbers of blocks or the number is beyond counting. */
export function tensorBytes(type: BlockType, shape: readonly number[]): number | undefined {
  const { elements, bytes } = blockFormat(type);
  const row = shape.at(-1) ?? 1;
  if (row % elements !== 0) return undefined;
  const total = shape.reduce((product, size) => product * size, bytes / elements);
  return Number.isSafeInteger(total) ? total : undefined;
}

const Q8_ELEMENTS = 32;
const Q8_BYTES = 34;

/** Q8_0: an f16 scale, then 32 signed bytes; value = scale · byte. */
function decodeQ8(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length / Q8_BYTES;
  const scales = decodeF16(Uint16Array.from({ length: count }, (_, i) => view.getUint16(i * Q8_BYTES, true)));
  const values = new Float32Array(count * Q8_ELEMENTS);
  for (let block = 0; block < count; block++) {
    const scale = scales[block] as number;
    const start = block * Q8_BYTES + 2;
    for (let i = 0; i < Q8_ELEMENTS; i++) values[block * Q8_ELEMENTS + i] = scale * view.getInt8(start + i);
  }
  return values;
}

/** As ggml's `quantize_row_q8_0_ref`: scale = largest magnitude / 127, in f32; values are rounded away from zero at ½. */
function encodeQ8(values: Float32Array): Uint8Array {
  const count = values.length / Q8_ELEMENTS;
  const bytes = new Uint8Array(count * Q8_BYTES);
  const view = new DataView(bytes.buffer);
  const scales = new Float32Array(count);
  for (let block = 0; block < count; block++) {
    const own = values.subarray(block * Q8_ELEMENTS, (block + 1) * Q8_ELEMENTS);
    let largest = 0;
    for (const value of own) largest = Math.max(largest, Math.abs(value));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    scales[block] = scale;
    own.forEach((value, i) => {
      const scaled = Math.fround(value * inverse);
      view.setInt8(block * Q8_BYTES + 2 + i, Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5));
    });
  }
  encodeF16(scales).forEach((code, block) => {
    view.setUint16(block * Q8_BYTES, code, true);
  });
  return bytes;
}
