import { type Decoding, decodingOf, FORMATS } from "../../../kernels/formats.ts";
import { partSizes } from "../../../kernels/weight.ts";
import type { PackedRows } from "../packed.ts";
import { type BlockType, blockFormat } from "./block-formats.ts";

/** Writes something of the block at byte `at` of `from`, from byte `to` of `out` on. */
type Copy = (from: Uint8Array, at: number, out: Uint8Array, to: number) => void;

/**
 * How the blocks of a type become what kernels decode, with the same values. Layouts are those of ggml (`ggml-common.h`);
 * how they are read is told by `dequantize_row_*` of its `ggml-quants.c`.
 */
interface Transcoder {
  readonly decoding: Decoding;
  /** A block's codes in the order of its values, a byte each. */
  readonly codes: Copy;
  /** Its scales, as {@link decoding} has them. */
  readonly scales: Copy;
  readonly zeros?: Copy;
}

/** So many bytes as they are. */
const copied =
  (offset: number, bytes: number): Copy =>
  (from, at, out, to) => {
    for (let i = 0; i < bytes; i++) out[to + i] = from[at + offset + i] as number;
  };

/** Runs of bytes whose low halves are the first codes of a run, and whose high halves are those that follow. */
const halves =
  (offset: number, bytes: number, runs = 1): Copy =>
  (from, at, out, to) => {
    for (let run = 0; run < runs; run++)
      for (let i = 0; i < bytes; i++) {
        const both = from[at + offset + run * bytes + i] as number;
        out[to + 2 * run * bytes + i] = both & 15;
        out[to + (2 * run + 1) * bytes + i] = both >> 4;
      }
  };

/** The fifth bits of Q5_0 and Q5_1 lie in a word of their own. */
const fiveBits =
  (fifth: number, four: number, zero: number): Copy =>
  (from, at, out, to) => {
    halves(four, 16)(from, at, out, to);
    for (let i = 0; i < 32; i++) {
      const high = ((from[at + fifth + (i >> 3)] as number) >> (i & 7)) & 1;
      out[to + i] = (out[to + i] as number) + 16 * high - zero;
    }
  };

/** Q5_K: bit `run` of each of 32 bytes is the fifth of a run's values. */
const fiveBitsOfRuns: Copy = (from, at, out, to) => {
  halves(48, 32, 4)(from, at, out, to);
  for (let i = 0; i < 256; i++) {
    const high = ((from[at + 16 + (i & 31)] as number) >> (i >> 5)) & 1;
    out[to + i] = (out[to + i] as number) + 16 * high;
  }
};

/** Q6_K: in each half, four quarters of 32 values share 64 bytes of low bits and 32 of high ones. */
const sixBits: Copy = (from, at, out, to) => {
  for (let i = 0; i < 256; i++) {
    const [half, quarter, place] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = (from[at + 64 * half + 32 * (quarter & 1) + place] as number) >> (4 * (quarter >> 1));
    const high = (from[at + 128 + 32 * half + place] as number) >> (2 * quarter);
    out[to + i] = (low & 15) + 16 * (high & 3) - 32;
  }
};

/** Q2_K and Q3_K: in each half, four quarters of 32 values share 32 bytes. */
const twoBits =
  (offset: number): Copy =>
  (from, at, out, to) => {
    for (let i = 0; i < 256; i++) {
      const both = from[at + offset + 32 * (i >> 7) + (i & 31)] as number;
      out[to + i] = (both >> (2 * ((i >> 5) & 3))) & 3;
    }
  };

/** Q3_K: the third bit says that nothing is taken away; −4 … 3 as int4, whose zero is at 8. */
const threeBits: Copy = (from, at, out, to) => {
  twoBits(32)(from, at, out, to);
  for (let i = 0; i < 256; i++) {
    const high = ((from[at + (i & 31)] as number) >> (i >> 5)) & 1;
    out[to + i] = (out[to + i] as number) + 4 * high + 4;
  }
};

/** Values of the codes of IQ4_NL and IQ4_XS. */
const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const fromTable =
  (codes: Copy, count: number): Copy =>
  (from, at, out, to) => {
    codes(from, at, out, to);
    for (let i = 0; i < count; i++) out[to + i] = IQ4[out[to + i] as number] as number;
  };

/** Q4_K and Q5_K: eight scales and eight minima of six bits in twelve bytes, after their own scales. */
const scalesAndMinima: Copy = (from, at, out, to) => {
  copied(0, 4)(from, at, out, to);
  const byte = (i: number) => from[at + 4 + i] as number;
  for (let i = 0; i < 4; i++) {
    out[to + 4 + i] = byte(i) & 63;
    out[to + 12 + i] = byte(4 + i) & 63;
    out[to + 8 + i] = (byte(8 + i) & 15) | ((byte(i) >> 6) << 4);
    out[to + 16 + i] = (byte(8 + i) >> 4) | ((byte(4 + i) >> 6) << 4);
  }
};

/** Q2_K: both in four bits. */
const shortScalesAndMinima: Copy = (from, at, out, to) => {
  copied(80, 4)(from, at, out, to);
  for (let i = 0; i < 16; i++) {
    const both = from[at + i] as number;
    out[to + 4 + i] = both & 15;
    out[to + 20 + i] = both >> 4;
  }
};

/** Q3_K: sixteen scales of six bits, 32 too large, in twelve bytes. */
const sixBitScales: Copy = (from, at, out, to) => {
  copied(108, 2)(from, at, out, to);
  for (let i = 0; i < 16; i++) {
    const low = (from[at + 96 + (i & 7)] as number) >> (4 * (i >> 3));
    const high = (from[at + 104 + (i & 3)] as number) >> (2 * (i >> 2));
    out[to + 4 + i] = (low & 15) + 16 * (high & 3) - 32;
  }
};

/** IQ4_XS: eight of them, the high bits in a word of 16. */
const splitScales: Copy = (from, at, out, to) => {
  copied(0, 2)(from, at, out, to);
  for (let i = 0; i < 8; i++) {
    const low = (from[at + 4 + (i >> 1)] as number) >> (4 * (i & 1));
    const high = (from[at + 2 + (i >> 2)] as number) >> (2 * (i & 3));
    out[to + 4 + i] = (low & 15) + 16 * (high & 3) - 32;
  }
};

/** Q6_K: sixteen signed bytes, and their own scale behind them. */
const signedScales: Copy = (from, at, out, to) => {
  copied(208, 2)(from, at, out, to);
  copied(192, 16)(from, at, out, to + 4);
};

const halfScales = { block: 32, scales: "f16" } as const;
const withOffsets = { ...halfScales, zeros: "offsets" } as const;
const inRuns = (block: number) => ({ block, scales: "superblock" }) as const;
const inRunsWithOffsets = (block: number) => ({ ...inRuns(block), zeros: "offsets" }) as const;

const TRANSCODERS: Partial<Readonly<Record<BlockType, Transcoder>>> = {
  Q4_0: { decoding: decodingOf("int4", halfScales), codes: halves(2, 16), scales: copied(0, 2) },
  Q4_1: {
    ...{ decoding: decodingOf("int4", withOffsets), codes: halves(4, 16) },
    ...{ scales: copied(0, 2), zeros: copied(2, 2) },
  },
  Q5_0: { decoding: decodingOf("int8", halfScales), codes: fiveBits(2, 6, 16), scales: copied(0, 2) },
  Q5_1: {
    ...{ decoding: decodingOf("int8", withOffsets), codes: fiveBits(4, 8, 0) },
    ...{ scales: copied(0, 2), zeros: copied(2, 2) },
  },
  Q8_0: { decoding: decodingOf("int8", halfScales), codes: copied(2, 32), scales: copied(0, 2) },
  Q2_K: {
    decoding: decodingOf("int4", inRunsWithOffsets(16)),
    codes: twoBits(16),
    scales: shortScalesAndMinima,
  },
  Q3_K: { decoding: decodingOf("int4", inRuns(16)), codes: threeBits, scales: sixBitScales },
  Q4_K: {
    decoding: decodingOf("int4", inRunsWithOffsets(32)),
    codes: halves(16, 32, 4),
    scales: scalesAndMinima,
  },
  Q5_K: {
    decoding: decodingOf("int8", inRunsWithOffsets(32)),
    codes: fiveBitsOfRuns,
    scales: scalesAndMinima,
  },
  Q6_K: { decoding: decodingOf("int8", inRuns(16)), codes: sixBits, scales: signedScales },
  IQ4_NL: {
    ...{ decoding: decodingOf("int8", halfScales), scales: copied(0, 2) },
    codes: fromTable(halves(2, 16), 32),
  },
  IQ4_XS: {
    ...{ decoding: decodingOf("int8", inRuns(32)), scales: splitScales },
    codes: fromTable(halves(8, 16, 8), 256),
  },
  MXFP4: {
    ...{ decoding: decodingOf("mxfp4", { block: 32, scales: "e8m0" }), scales: copied(0, 1) },
    codes: halves(1, 16),
  },
};

/** The quantised types whose matrices kernels decode. */
export const TRANSCODED = Object.keys(TRANSCODERS) as readonly BlockType[];

/** What matrices of a type become; undefined for types that stay as they are, and for those that are not read. */
export function transcodedDecoding(type: BlockType): Decoding | undefined {
  return TRANSCODERS[type]?.decoding;
}

/** Whole blocks of one of {@link TRANSCODED}, as kernels decode them. */
export function transcode(type: BlockType, bytes: Uint8Array): PackedRows {
  const { decoding, codes, scales, zeros } = TRANSCODERS[type] as Transcoder;
  const { elements, bytes: size } = blockFormat(type);
  const count = bytes.length / size;
  const { format, block } = decoding;
  const own = { format, block, scaleFormat: decoding.scales, zeroFormat: decoding.zeros };
  const sizes = partSizes(count * elements, own);
  const all = new Uint8Array(count * elements);
  const rows = {
    words: new Uint32Array(sizes.words),
    scales: new Uint32Array(sizes.scales),
    ...(zeros && { zeros: new Uint32Array(sizes.zeros) }),
  };
  const [scaleBytes, zeroBytes] = [
    new Uint8Array(rows.scales.buffer),
    rows.zeros && new Uint8Array(rows.zeros.buffer),
  ];
  const width = partSizes(4 * elements, own).scales; // words of four blocks are bytes of one
  for (let i = 0; i < count; i++) {
    codes(bytes, i * size, all, i * elements);
    scales(bytes, i * size, scaleBytes, i * width);
    if (zeroBytes) zeros?.(bytes, i * size, zeroBytes, i * width);
  }
  packCodes(all, new Uint8Array(rows.words.buffer), FORMATS[format].bits);
  return rows;
}

function packCodes(codes: Uint8Array, out: Uint8Array, bits: number): void {
  if (bits === 8) out.set(codes);
  else
    for (let i = 0; i < codes.length; i += 2)
      out[i >> 1] = (codes[i] as number) | ((codes[i + 1] as number) << 4);
}
