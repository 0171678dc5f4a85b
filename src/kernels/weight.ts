import type { Device } from "../gpu/device.ts";
import { type DType, elementCount, empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import {
  type Decoding,
  decodingOf,
  FORMATS,
  isWeightFormat,
  SCALE_FORMATS,
  type ScaleFormat,
  type WeightFormat,
  type ZeroFormat,
} from "./formats.ts";

/**
 * A matrix that kernels decode as they read it. A tensor of f32, bf16 or f16 is one without scales, and the only kind
 * that can be trained (f32).
 */
export interface Weight {
  /** Whose memory it is in. */
  readonly device: Device;
  /** How its values lie; another type of elements is refused by the kernels. */
  readonly format: WeightFormat | DType;
  /** `[rows, columns]`; tensors may have more axes before the last. */
  readonly shape: readonly number[];
  /** Product of all axes but the last. */
  readonly rows: number;
  /** Size of the last axis. */
  readonly columns: number;
  /** The values' codes. */
  readonly words: Tensor;
  /** Of each block; absent where the format needs none. */
  readonly scales?: Tensor | undefined;
  /** Zero points, offsets, or what nested scales need. */
  readonly zeros?: Tensor | undefined;
  /** Consecutive values, row after row, that share a scale. */
  readonly block?: number | undefined;
  /** Bytes of the values without their scales. */
  readonly byteLength: number;
  /** Rows [start, end) as a view, for kernels; the first row must be aligned for binding. */
  slice(start: number, end: number): Weight;
}

/** What a quantised weight consists of. */
export interface QuantisedParts {
  readonly format: WeightFormat;
  /** `[rows, columns]` */
  readonly shape: readonly [number, number];
  /** u32: codes, row after row, the first in the low bits (of a byte: in the high ones for nf4 and fp4). */
  readonly words: Tensor;
  /** u32: a scale for each block, in `scaleFormat`. */
  readonly scales: Tensor;
  readonly scaleFormat: ScaleFormat;
  readonly block: number;
  /**
   * u32. A zero point in 8 bits, or an offset in the scales' format, for each block. Of nested scales: their offset, the
   * values of the 256 codes, and the second scales, one for each 256 blocks, all f32. Of superblocks: nothing.
   */
  readonly zeros?: Tensor | undefined;
  readonly zeroFormat?: ZeroFormat;
}

/** A frozen matrix in fewer bits: codes in words, with a scale for each block. */
export class QuantisedWeight implements Weight {
  readonly device: Device;
  readonly format: WeightFormat;
  readonly shape: readonly [number, number];
  readonly words: Tensor;
  readonly scales: Tensor;
  readonly zeros: Tensor | undefined;
  readonly block: number;
  readonly scaleFormat: ScaleFormat;
  readonly zeroFormat: ZeroFormat;
  /** Values before the first one, in the weight that this one is a slice of. */
  readonly first: number;
  /** How kernels read it. */
  readonly decoding: Decoding;

  /** @throws LoraError where the parts do not belong together */
  constructor(parts: QuantisedParts, first = 0) {
    const { format, shape, words, scales, scaleFormat, block, zeros, zeroFormat = "none" } = parts;
    this.device = words.device;
    this.format = format;
    this.shape = shape;
    this.words = words;
    this.scales = scales;
    this.zeros = zeros;
    this.block = block;
    this.scaleFormat = scaleFormat;
    this.zeroFormat = zeroFormat;
    this.first = first;
    this.decoding = decodingOf(format, { block, scales: scaleFormat, zeros: zeroFormat });
    checkParts(this);
  }

  get rows(): number {
    return this.shape[0];
  }

  get columns(): number {
    return this.shape[1];
  }

  get byteLength(): number {
    return (this.rows * this.columns * FORMATS[this.format].bits) / 8;
  }

  slice(start: number, end: number): QuantisedWeight {
    const bits = FORMATS[this.format].bits * this.columns;
    const words = this.words.slice((start * bits) / 32, Math.ceil((end * bits) / 32));
    return new QuantisedWeight(
      { ...this, shape: [end - start, this.columns], words },
      this.first + start * this.columns,
    );
  }
}

/** 32-bit words for so many values of some bits. */
export const wordCount = (count: number, bits: number) => Math.ceil((count * bits) / 32);

function checkParts(weight: QuantisedWeight): void {
  const { format, shape, words, scales, zeros, block, first } = weight;
  const [rows, columns] = shape;
  const { block: usual } = FORMATS[format];
  const least = partSizes(first + rows * columns, weight);
  const isVector = block % 4 === 0 || columns % 4 !== 0;
  const isSuper = weight.scaleFormat !== "superblock" || (SUPERBLOCK / block) % 4 === 0;
  const isWhole =
    usual !== undefined && isVector && isSuper && words.size === partSizes(rows * columns, weight).words;
  if (isWhole && scales.size >= least.scales && (zeros?.size ?? 0) >= least.zeros) return;
  const parts = `${words.size} words, ${scales.size} of scales and ${zeros?.size ?? 0} of zero points`;
  fail("weight", `${parts} are no ${format} [${shape}] in blocks of ${block}`);
}

/** How kernels read a weight. @throws LoraError for a tensor of integers */
export function weightDecoding(weight: Weight): Decoding {
  if (weight instanceof QuantisedWeight) return weight.decoding;
  const { format } = weight;
  if (isWeightFormat(format)) return DENSE[format] ?? decodingOf(format);
  return fail(
    "weight",
    `a weight of ${format} cannot be multiplied`,
    `there are ${Object.keys(FORMATS).join(", ")}`,
  );
}

/** Looked up for every dispatch: putting a key together takes longer. */
const DENSE: Partial<Record<WeightFormat, Decoding>> = {
  f32: decodingOf("f32"),
  bf16: decodingOf("bf16"),
  f16: decodingOf("f16"),
};

/** What kernels bind beside the words, whether or not the format needs it. */
export function scaleBindings({ words, scales = words, zeros = words }: Weight): {
  scales: Tensor;
  zeros: Tensor;
} {
  return { scales, zeros };
}

/** Values before a weight's first one, in the weight that it is a slice of: the kernels' `b_first`. */
export function firstValue(weight: Weight): number {
  return weight instanceof QuantisedWeight ? weight.first : 0;
}

/** All tensors of a weight. */
export function partsOf({ words, scales, zeros }: Weight): Tensor[] {
  return [words, scales, zeros].filter((tensor) => tensor !== undefined);
}

/** Bytes of all parts. */
export function weightBytes(weight: Weight): number {
  return partsOf(weight).reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Room for a weight, uninitialised. It lives as long as the innermost scope, or until its parts are released. */
export function emptyWeight(
  device: Device,
  shape: readonly [number, number],
  { format, block, scales, zeros }: Decoding,
): Weight {
  if (format === "f32" || format === "bf16" || format === "f16") return empty(device, shape, format);
  const count = elementCount(shape);
  const words = (count: number) => empty(device, [count], "u32");
  const sizes = partSizes(count, { format, block, scaleFormat: scales, zeroFormat: zeros });
  return new QuantisedWeight({
    ...{ format, shape, block, scaleFormat: scales, zeroFormat: zeros },
    words: words(sizes.words),
    scales: words(sizes.scales),
    zeros: sizes.zeros > 0 ? words(sizes.zeros) : undefined,
  });
}

/** A weight of zeros. */
export function blankWeight(device: Device, shape: readonly [number, number], decoding: Decoding): Weight {
  const weight = emptyWeight(device, shape, decoding);
  for (const part of partsOf(weight)) part.write(new Uint8Array(part.byteLength));
  return weight;
}

/** 32-bit words of each part of so many values. */
export function partSizes(
  count: number,
  {
    format,
    block,
    scaleFormat,
    zeroFormat = "none",
  }: Pick<QuantisedParts, "format" | "block" | "scaleFormat" | "zeroFormat">,
): { words: number; scales: number; zeros: number } {
  const blocks = Math.ceil(count / block);
  const { bits } = SCALE_FORMATS[scaleFormat];
  const words = wordCount(count, FORMATS[format].bits);
  const scales = wordCount(blocks, bits);
  if (scaleFormat === "nested") {
    return { words, scales, zeros: NESTED_HEAD + Math.ceil(blocks / NESTED_BLOCK) };
  }
  if (scaleFormat === "superblock") {
    const heads = Math.ceil(count / SUPERBLOCK);
    return { words, scales: heads + scales * (zeroFormat === "offsets" ? 2 : 1), zeros: 0 };
  }
  if (zeroFormat === "none") return { words, scales, zeros: 0 };
  return { words, scales, zeros: wordCount(blocks, zeroFormat === "points" ? 8 : bits) };
}

/** Values of a superblock: a word for all of them, and their runs' scales and offsets. */
export const SUPERBLOCK = 256;
/** Words before the second scales: their offset and the values of the codes. */
const NESTED_HEAD = 257;
/** Scales that share a second one. */
const NESTED_BLOCK = 256;
