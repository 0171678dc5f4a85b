import { decodeF16, encodeF16 } from "../../src/util/half.ts";

// Simple encoders of quantised blocks, for files that others have to read: llama-quantize chooses its scales with more care.

/** The types that are made here. */
export const ENCODED = ["Q4_0", "Q4_K", "Q5_K", "Q6_K"] as const;

/** One of {@link ENCODED}. */
export type EncodedType = (typeof ENCODED)[number];

/** Values of whole blocks as bytes of a type. */
export function encodeBlocks(type: EncodedType, values: Float32Array): Uint8Array {
  const size = type === "Q4_0" ? 32 : 256;
  const blocks = Array.from({ length: values.length / size }, (_, i) =>
    ENCODERS[type](values.subarray(i * size, (i + 1) * size)),
  );
  return Uint8Array.from(blocks.flat());
}

const ENCODERS: Readonly<Record<EncodedType, (values: Float32Array) => number[]>> = {
  Q4_0: encodeQ4,
  Q4_K: (values) => encodeWithMinima(values, 4),
  Q5_K: (values) => encodeWithMinima(values, 5),
  Q6_K: encodeQ6,
};

const half = (value: number) => decodeF16(encodeF16(Float32Array.of(value)))[0] as number;
const halfBytes = (value: number) => [...new Uint8Array(encodeF16(Float32Array.of(value)).buffer)];
const code = (value: number, least: number, most: number) =>
  Math.min(most, Math.max(least, Math.round(value)));
const runsOf = (values: Float32Array, size: number) =>
  Array.from({ length: values.length / size }, (_, i) => values.subarray(i * size, (i + 1) * size));

function encodeQ4(values: Float32Array): number[] {
  const largest = values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  const scale = half(largest / -8);
  const codes = [...values].map((value) => (scale === 0 ? 8 : code(value / scale + 8, 0, 15)));
  return [...halfBytes(scale), ...pairs(codes)];
}

/** Sixteen or thirty-two codes in the low halves of bytes, the others in the high ones. */
function pairs(codes: readonly number[]): number[] {
  const bytes = codes.length / 2;
  return codes.slice(0, bytes).map((low, i) => low | ((codes[bytes + i] as number) << 4));
}

function encodeWithMinima(values: Float32Array, bits: 4 | 5): number[] {
  const runs = runsOf(values, 32);
  const minima = runs.map((run) => Math.max(0, -run.reduce((least, value) => Math.min(least, value), 0)));
  const ranges = runs.map(
    (run, i) =>
      (run.reduce((most, value) => Math.max(most, value), 0) + (minima[i] as number)) / (2 ** bits - 1),
  );
  const [scale, offset] = [half(Math.max(...ranges) / 63), half(Math.max(...minima) / 63)];
  const scales = ranges.map((range) => (scale === 0 ? 0 : code(range / scale, 0, 63)));
  const offsets = minima.map((minimum) => (offset === 0 ? 0 : code(minimum / offset, 0, 63)));
  const codes = runs.map((run, i) => {
    const [own, below] = [scale * (scales[i] as number), offset * (offsets[i] as number)];
    return [...run].map((value) => (own === 0 ? 0 : code((value + below) / own, 0, 2 ** bits - 1)));
  });
  const high = Array.from({ length: bits === 5 ? 32 : 0 }, (_, place) =>
    codes.reduce((all, run, i) => all | (((run[place] as number) >> 4) << i), 0),
  );
  const low = codes.map((run) => run.map((each) => each & 15));
  const packed = [0, 2, 4, 6].flatMap((i) => pairs([...(low[i] as number[]), ...(low[i + 1] as number[])]));
  return [...halfBytes(scale), ...halfBytes(offset), ...sixBits(scales, offsets), ...high, ...packed];
}

/** Eight scales and eight minima of six bits in twelve bytes. */
function sixBits(scales: readonly number[], offsets: readonly number[]): number[] {
  const at = (list: readonly number[], i: number) => list[i] as number;
  const four = [0, 1, 2, 3];
  return [
    ...four.map((i) => at(scales, i) | ((at(scales, i + 4) >> 4) << 6)),
    ...four.map((i) => at(offsets, i) | ((at(offsets, i + 4) >> 4) << 6)),
    ...four.map((i) => (at(scales, i + 4) & 15) | ((at(offsets, i + 4) & 15) << 4)),
  ];
}

function encodeQ6(values: Float32Array): number[] {
  const runs = runsOf(values, 16);
  const own = runs.map((run) => run.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 31);
  const scale = half(Math.max(...own) / 127);
  const scales = own.map((each) => (scale === 0 ? 0 : code(each / scale, 0, 127)));
  const codes = runs.flatMap((run, i) => {
    const step = scale * (scales[i] as number);
    return [...run].map((value) => 32 + (step === 0 ? 0 : code(value / step, -32, 31)));
  });
  const low: number[] = [];
  const high: number[] = [];
  for (const half of [0, 128]) {
    const quarter = (i: number, place: number) => codes[half + 32 * i + place] as number;
    for (const i of [0, 1])
      for (let place = 0; place < 32; place++)
        low.push((quarter(i, place) & 15) | ((quarter(i + 2, place) & 15) << 4));
    for (let place = 0; place < 32; place++)
      high.push([0, 1, 2, 3].reduce((all, i) => all | ((quarter(i, place) >> 4) << (2 * i)), 0));
  }
  return [...low, ...high, ...scales, ...halfBytes(scale)];
}
