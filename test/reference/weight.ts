import type { WeightFormat, ZeroFormat } from "../../src/kernels/formats.ts";
import { wordCount } from "../../src/kernels/weight.ts";

/** Values of the codes of four-bit formats, as published. */
const TABLES: Partial<Record<WeightFormat, readonly number[]>> = {
  // Dettmers et al. 2023, arXiv 2305.14314, appendix E
  nf4: [
    ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635],
    ...[-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725],
    ...[0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941],
    ...[0.7229568362236023, 1],
  ],
  // bitsandbytes: functional.py, the data type fp4, divided by its largest value 12
  fp4: [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3].map((value) => value / 12),
  // OCP Microscaling Formats 1.0, table 5
  mxfp4: [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6],
};

/** Sign, exponent and fraction of an eight-bit float. OCP 8-bit floating point, table 1. */
function float8(code: number, fractionBits: number, bias: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code & 0x7f) >> fractionBits;
  const fraction = (code & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** Value of one code, before it is scaled. */
export function codeValue(format: WeightFormat, code: number, zero?: number): number {
  if (format === "int8") return code > 127 ? code - 256 : code;
  if (format === "int4") return code - (zero ?? 8);
  if (format === "fp8_e4m3") return float8(code, 3, 7);
  if (format === "fp8_e5m2") return float8(code, 2, 15);
  return (TABLES[format] as readonly number[])[code] as number;
}

/** Codes of 4 or 8 bits in words: the first in the low bits; nf4 and fp4 begin with the high half of each byte. */
export function packCodes(format: WeightFormat, codes: ArrayLike<number>, bits: 4 | 8): Uint32Array {
  const bytes = new Uint8Array(4 * wordCount(codes.length, bits));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] as number;
    const isHigh = (i % 2 === 0) === (format === "nf4" || format === "fp4");
    if (bits === 8) bytes[i] = code;
    else bytes[i >> 1]! |= isHigh ? code << 4 : code;
  }
  return new Uint32Array(bytes.buffer);
}

/** What belongs to the blocks of a weight, as plain numbers. */
export interface BlockNumbers {
  readonly block: number;
  readonly scales: ArrayLike<number>;
  readonly zeroFormat?: ZeroFormat;
  readonly zeros?: ArrayLike<number>;
}

/** (code − zero) · scale + offset in f64. */
export function weightReference(
  format: WeightFormat,
  codes: ArrayLike<number>,
  { block, scales, zeros, zeroFormat = "none" }: BlockNumbers,
): Float64Array {
  return Float64Array.from(codes, (code, i) => {
    const run = Math.floor(i / block);
    const scale = scales[run] as number;
    const zero = zeros?.[run] as number;
    if (zeroFormat === "points") return codeValue(format, code, zero) * scale;
    // An offset belongs to the bare code.
    if (zeroFormat === "offsets") return (format === "int4" ? code : codeValue(format, code)) * scale + zero;
    return codeValue(format, code) * scale;
  });
}
