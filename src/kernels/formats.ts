// What formats of weights there are: the one table that kernels, loaders, plans and writers ask.
import type { Specialization } from "../gpu/wgsl.ts";

/** How the numbers of a frozen weight lie in memory. */
export type WeightFormat =
  | "f32"
  | "bf16"
  | "f16"
  | "int8"
  | "fp8_e4m3"
  | "fp8_e5m2"
  | "int4"
  | "nf4"
  | "fp4"
  | "mxfp4";

/** What holds for all weights of a format. */
export interface Format {
  /** Value of FORMAT in common/weight.wgsl. */
  readonly code: number;
  /** Bits of a value, without its share of a scale. */
  readonly bits: 32 | 16 | 8 | 4;
  /** Values that share a scale, unless a weight says otherwise; absent where values need none. */
  readonly block?: number;
  /** How the scales lie, unless a weight says otherwise. */
  readonly scales?: ScaleFormat;
}

/** By name. */
export const FORMATS: Readonly<Record<WeightFormat, Format>> = {
  f32: { code: 0, bits: 32 },
  bf16: { code: 1, bits: 16 },
  f16: { code: 2, bits: 16 },
  int8: { code: 3, bits: 8, block: 128, scales: "f32" },
  fp8_e4m3: { code: 4, bits: 8, block: 128, scales: "f32" },
  fp8_e5m2: { code: 5, bits: 8, block: 128, scales: "f32" },
  int4: { code: 6, bits: 4, block: 64, scales: "f32" },
  nf4: { code: 7, bits: 4, block: 64, scales: "nested" },
  fp4: { code: 8, bits: 4, block: 64, scales: "nested" },
  mxfp4: { code: 9, bits: 4, block: 32, scales: "e8m0" },
};

/** Whether a type of elements, or what somebody wrote, names a format of weights. */
export function isWeightFormat(name: string): name is WeightFormat {
  return Object.hasOwn(FORMATS, name);
}

/**
 * How scales lie: as floats, as the exponents of powers of two (OCP Microscaling 1.0), or quantised themselves. `nested`:
 * codes in 8 bits, whose values and second scales lie where other weights have zero points (bitsandbytes' double
 * quantisation). `superblock`: whole numbers in 8 bits, with an f16 for all of 256 values that scales them (k-quants of
 * ggml), and the offsets among them: they lie with the scales, whole numbers from 0 to 255 that another f16 scales and
 * that are taken away.
 */
export type ScaleFormat = "f32" | "bf16" | "f16" | "e8m0" | "nested" | "superblock";

/** Value of SCALES in common/weight.wgsl, and bits of a scale. */
export const SCALE_FORMATS: Readonly<Record<ScaleFormat, { code: number; bits: 32 | 16 | 8 }>> = {
  f32: { code: 0, bits: 32 },
  bf16: { code: 1, bits: 16 },
  f16: { code: 2, bits: 16 },
  e8m0: { code: 3, bits: 8 },
  nested: { code: 4, bits: 8 },
  superblock: { code: 5, bits: 8 },
};

/**
 * What is taken from codes, or added: zero points in 8 bits, subtracted from the code before it is scaled, or offsets in
 * the scales' format, added after.
 */
export type ZeroFormat = "none" | "points" | "offsets";

const ZERO_FORMATS: readonly ZeroFormat[] = ["none", "points", "offsets"];

/** How kernels are specialised for a weight. The same object for the same values. */
export interface Decoding {
  /** A small number, another in each process. */
  readonly id: number;
  /** The same in all: `bf16`, `nf4/64/nested`. */
  readonly name: string;
  /** How the values lie. */
  readonly format: WeightFormat;
  /** Values that share a scale; 0 where none do. */
  readonly block: number;
  /** How the scales lie. */
  readonly scales: ScaleFormat;
  /** What is taken from the codes, or added. */
  readonly zeros: ZeroFormat;
  /** Of common/weight.wgsl. */
  readonly constants: Specialization;
  /** `alias packed` of common/weight-vectors.wgsl. */
  readonly packed: "vec2u" | "u32";
}

const known = new Map<string, Decoding>();

/** The specialisation for weights of a format whose scales lie like this. */
export function decodingOf(
  format: WeightFormat,
  { block = 0, scales = "f32", zeros = "none" }: Partial<Pick<Decoding, "block" | "scales" | "zeros">> = {},
): Decoding {
  const { code, bits } = FORMATS[format];
  const name = bits > 8 ? format : [format, block, scales, ...(zeros === "none" ? [] : [zeros])].join("/");
  const found = known.get(name);
  if (found) return found;
  const own = { SCALES: SCALE_FORMATS[scales].code, ZEROS: ZERO_FORMATS.indexOf(zeros), BLOCK: block };
  const constants = Object.freeze({ FORMAT: code, ...(bits <= 8 && own) });
  const packed = bits <= 8 ? "u32" : "vec2u";
  const decoding: Decoding = { id: known.size, name, format, block, scales, zeros, constants, packed };
  known.set(name, decoding);
  return decoding;
}
