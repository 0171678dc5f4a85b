import { type Decoding, FORMATS, SCALE_FORMATS, type WeightFormat } from "../../kernels/formats.ts";
import { SUPERBLOCK } from "../../kernels/weight.ts";
import { byteView } from "../../util/bytes.ts";
import { greatestCommonDivisor, leastCommonMultiple } from "../../util/divisors.ts";
import { nonFinite } from "../../util/finite.ts";

/** Rows of a matrix as kernels decode them: parts of a `QuantisedWeight`. */
export interface PackedRows {
  readonly words: Uint32Array;
  readonly scales: Uint32Array;
  /** Zero points or offsets, or what nested scales need. */
  readonly zeros?: Uint32Array | undefined;
}

/**
 * A matrix `[out, in]` that a checkpoint holds in fewer bits, in any layout: it becomes what kernels decode, with the same
 * values.
 */
export interface PackedMatrix {
  /** What the values are called in the file, for messages: `Q4_K`. */
  readonly type: string;
  /** What it becomes. */
  readonly decoding: Decoding;
  /**
   * Rows [first, end). Both are multiples of {@link rowsOfRun}, but for the matrix's last row.
   * @throws LoraError where the file does not hold what it should
   */
  read(first: number, end: number): Promise<PackedRows>;
}

/** So many rows fill whole words of codes, scales and zero points; infinitely many where all belong together. */
export function rowsOfRun({ format, block, scales, zeros }: Decoding, columns: number): number {
  if (scales === "nested") return Number.POSITIVE_INFINITY;
  const values = [
    32 / FORMATS[format].bits,
    (block * 32) / SCALE_FORMATS[scales].bits,
    ...(zeros === "points" ? [4 * block] : []),
    ...(scales === "superblock" ? [SUPERBLOCK] : []),
  ].reduce(leastCommonMultiple);
  return values / greatestCommonDivisor(values, columns);
}

/** The smallest of the codes that are no numbers, without their sign (OCP 8-bit floating point, table 1). */
const NO_NUMBERS: Partial<Record<WeightFormat, number>> = { fp8_e4m3: 0x7f, fp8_e5m2: 0x7c };

/** A scale, an offset or a code that is no number. */
export function spoiltPart(decoding: Decoding, rows: PackedRows): number | undefined {
  const least = NO_NUMBERS[decoding.format];
  const isSpoilt = least !== undefined && byteView(rows.words).some((code) => (code & 0x7f) >= least);
  return isSpoilt ? Number.NaN : spoiltScale(decoding, rows);
}

/** With it, none of its values is a number. */
function spoiltScale({ scales: format, block, zeros }: Decoding, rows: PackedRows): number | undefined {
  if (format === "e8m0") return byteView(rows.scales).includes(255) ? Number.NaN : undefined;
  if (format === "nested") return rows.zeros && nonFinite(byteView(rows.zeros), "f32");
  if (format === "superblock") {
    const runs = SUPERBLOCK / block;
    const size = 1 + (zeros === "offsets" ? 2 * runs : runs) / 4;
    const heads = rows.scales.filter((_, i) => i % size === 0);
    return nonFinite(byteView(heads), "f16");
  }
  const offsets = zeros === "offsets" && rows.zeros ? nonFinite(byteView(rows.zeros), format) : undefined;
  return nonFinite(byteView(rows.scales), format) ?? offsets;
}
