import type { Device } from "../../src/gpu/device.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { FORMATS, type ScaleFormat, type WeightFormat, type ZeroFormat } from "../../src/kernels/formats.ts";
import { QuantisedWeight } from "../../src/kernels/weight.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { createRandom } from "../../src/util/random.ts";
import { packCodes, weightReference } from "../reference/weight.ts";

/** A format of weights and how its scales lie. */
export interface Kind {
  readonly format: WeightFormat;
  readonly block: number;
  readonly scales?: ScaleFormat;
  readonly zeros?: ZeroFormat;
}

/** Each format, with each way in which its scales can lie. */
export const KINDS: readonly Kind[] = [
  { format: "int8", block: 32, scales: "f16" },
  { format: "int8", block: 128, scales: "bf16", zeros: "offsets" },
  { format: "int8", block: 16, scales: "f32", zeros: "offsets" },
  { format: "int8", block: 16, scales: "superblock" },
  { format: "int8", block: 32, scales: "superblock", zeros: "offsets" },
  { format: "fp8_e4m3", block: 128 },
  { format: "fp8_e5m2", block: 64 },
  { format: "int4", block: 32 },
  { format: "int4", block: 128, scales: "f16", zeros: "points" },
  { format: "int4", block: 64, scales: "bf16", zeros: "offsets" },
  { format: "int4", block: 16, scales: "f32", zeros: "offsets" },
  { format: "int4", block: 32, scales: "superblock", zeros: "offsets" },
  { format: "nf4", block: 64 },
  { format: "nf4", block: 64, scales: "nested" },
  { format: "fp4", block: 64, scales: "nested" },
  { format: "mxfp4", block: 32, scales: "e8m0" },
];

export const nameOf = ({ format, block, scales = "f32", zeros = "none" }: Kind) =>
  `${format} in blocks of ${block}, scales ${scales}, zeros ${zeros}`;

/** A weight of random codes and scales, and its values. */
export function randomWeight(
  device: Device,
  shape: readonly [number, number],
  { format, block, scales: scaleFormat = "f32", zeros: zeroFormat = "none" }: Kind,
  seed = 1,
): { weight: QuantisedWeight; values: Float64Array } {
  const random = createRandom(seed);
  const count = shape[0] * shape[1];
  const { bits } = FORMATS[format] as { bits: 4 | 8 };
  const codes = Uint8Array.from({ length: count }, () =>
    codeOf(format, Math.floor(random.uniform() * 2 ** bits)),
  );
  const blocks = Math.ceil(count / block);
  const plain = Float32Array.from({ length: blocks }, () => 0.01 + 0.02 * random.uniform());
  const points = Float32Array.from({ length: blocks }, () => Math.floor(random.uniform() * 16));
  const offsets = plain.map((scale) => -7.5 * scale);
  const encoded = (values: Float32Array) =>
    scaleFormat === "superblock"
      ? superblocks(blocks, block, zeroFormat === "offsets")
      : encodeScales(values, scaleFormat);
  const { words: scaleWords, values: scales, more, offsets: own } = encoded(plain);
  const zeros =
    zeroFormat === "points"
      ? { words: bytesAsWords(points), values: points }
      : zeroFormat === "offsets"
        ? own
          ? { values: own }
          : encodeScales(offsets, scaleFormat)
        : undefined;
  const words = (data: Uint32Array) => fromArray(device, data, [data.length]);
  const beside = zeros && "words" in zeros ? zeros.words : more;
  const weight = new QuantisedWeight({
    ...{ format, shape, block, scaleFormat, zeroFormat },
    words: words(packCodes(format, codes, bits)),
    scales: words(scaleWords),
    zeros: beside && words(beside),
  });
  return {
    weight,
    values: weightReference(format, codes, { block, scales, zeroFormat, zeros: zeros?.values ?? [] }),
  };
}

/** E4M3 has two codes that are no numbers, E5M2 eight. */
function codeOf(format: WeightFormat, code: number): number {
  const largest = format === "fp8_e4m3" ? 0x7e : format === "fp8_e5m2" ? 0x7b : 0x7f;
  return FORMATS[format].bits === 8 && (code & 0x7f) > largest ? code - 8 : code;
}

interface EncodedScales {
  words: Uint32Array;
  values: ArrayLike<number>;
  more?: Uint32Array;
  /** Where they lie with the scales. */
  offsets?: ArrayLike<number>;
}

function encodeScales(plain: Float32Array, format: ScaleFormat): EncodedScales {
  if (format === "f32") return { words: new Uint32Array(plain.buffer), values: plain };
  if (format === "e8m0") {
    const codes = plain.map((scale) => Math.round(Math.log2(scale)) + 127);
    return { words: bytesAsWords(codes), values: codes.map((code) => 2 ** (code - 127)) };
  }
  if (format === "nested") return nestedScales(plain);
  const codes = format === "bf16" ? encodeBf16(plain) : encodeF16(plain);
  const padded = new Uint16Array(2 * Math.ceil(codes.length / 2));
  padded.set(codes);
  return {
    words: new Uint32Array(padded.buffer),
    values: (format === "bf16" ? decodeBf16 : decodeF16)(codes),
  };
}

/** Any codes and any map: kernels must not depend on which. */
function nestedScales(plain: Float32Array): EncodedScales {
  const map = Float32Array.from({ length: 256 }, (_, code) => (code - 127) / 128);
  const offset = 0.02;
  const seconds = Float32Array.from({ length: Math.ceil(plain.length / 256) }, (_, i) => 0.01 + 0.001 * i);
  const codes = plain.map((scale, i) => {
    const code = Math.round(((scale - offset) / (seconds[i >> 8] as number)) * 128 + 127);
    return Math.min(255, Math.max(0, code));
  });
  const values = Float64Array.from(
    codes,
    (code, i) => (map[code] as number) * (seconds[i >> 8] as number) + Math.fround(offset),
  );
  const more = new Uint32Array(Float32Array.of(offset, ...map, ...seconds).buffer);
  return { words: bytesAsWords(codes), values, more };
}

/** Any bytes; f16 scales of theirs among which are subnormal ones, as those of k-quants mostly are. */
function superblocks(blocks: number, block: number, hasOffsets: boolean): EncodedScales {
  const random = createRandom(blocks);
  const runs = 256 / block;
  const bytes: number[] = [];
  const [values, offsets]: [number[], number[]] = [[], []];
  for (let first = 0; first < blocks; first += runs) {
    const heads = encodeF16(Float32Array.of(2e-5 + 1e-4 * random.uniform(), hasOffsets ? 3e-5 : 0));
    const [scale = 0, minimum = 0] = decodeF16(heads);
    const own = Uint8Array.from({ length: hasOffsets ? 2 * runs : runs }, () =>
      Math.floor(256 * random.uniform()),
    );
    bytes.push(...new Uint8Array(heads.buffer), ...own);
    for (let run = 0; run < runs; run++) {
      const code = own[run] as number;
      values.push(scale * (hasOffsets || code < 128 ? code : code - 256));
      offsets.push(-minimum * (own[runs + run] ?? 0));
    }
  }
  return { words: bytesAsWords(bytes), values, offsets };
}

function bytesAsWords(values: ArrayLike<number>): Uint32Array {
  const bytes = new Uint8Array(4 * Math.ceil(values.length / 4));
  bytes.set(Uint8Array.from(values));
  return new Uint32Array(bytes.buffer);
}
