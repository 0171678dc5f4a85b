import { type Decoding, SCALE_FORMATS, type WeightFormat } from "../../../kernels/formats.ts";
import { byteView } from "../../../util/bytes.ts";
import { greatestCommonDivisor } from "../../../util/divisors.ts";
import type { SafetensorsDtype } from "../safetensors.ts";
import type { TensorSpec } from "../safetensors-writer.ts";
import type { MatrixTensor, MatrixWriter, WrittenMatrix } from "./matrix-writer.ts";

/** A format of ours as compressed-tensors has it. */
interface Kind {
  /** `CompressionFormat` of the library. */
  readonly layout: string;
  readonly bits: 4 | 8;
  readonly type: "int" | "float";
  /** The one size that groups may have. */
  readonly group?: number;
}

const KINDS: Partial<Record<WeightFormat, Kind>> = {
  int8: { layout: "pack-quantized", bits: 8, type: "int" },
  int4: { layout: "pack-quantized", bits: 4, type: "int" },
  fp8_e4m3: { layout: "float-quantized", bits: 8, type: "float" },
  mxfp4: { layout: "mxfp4-pack-quantized", bits: 4, type: "float", group: 32 },
};

const SCALES: Partial<Record<Decoding["scales"], SafetensorsDtype>> = {
  f32: "F32",
  bf16: "BF16",
  f16: "F16",
  e8m0: "U8",
};

/**
 * compressed-tensors, as llm-compressor saves it and as its compressors read it. Our blocks count through a matrix, its groups
 * through a row: where a row is no whole number of blocks, groups are as small as both allow, and scales are repeated.
 */
export const compressedTensorsWriter: MatrixWriter = { problem, tensors, config };

function problem({ decoding, shape }: WrittenMatrix): string | undefined {
  const { format, block, scales, zeros, name } = decoding;
  const kind = KINDS[format];
  if (!kind || !SCALES[scales] || zeros === "offsets")
    return `is ${name}, for which compressed-tensors has no place`;
  const [, columns] = shape;
  if ((columns * kind.bits) % 32 !== 0) return `has rows of ${columns} values, which fill no whole words`;
  if (kind.group === undefined || groupOf({ decoding, shape }) === kind.group) return undefined;
  return `has rows of ${columns} values, which are no whole blocks of ${block}`;
}

/** Values of a row that share a scale. */
function groupOf({ decoding: { block }, shape: [, columns] }: WrittenMatrix): number {
  return greatestCommonDivisor(block, columns);
}

function tensors(name: string, matrix: WrittenMatrix): MatrixTensor[] {
  const { decoding, shape } = matrix;
  const [rows, columns] = shape;
  const { layout, bits } = KINDS[decoding.format] as Kind;
  const groups = columns / groupOf(matrix);
  const words = (rows * columns * bits) / 32;
  const codes = (end: string, dtype: SafetensorsDtype, wide: number, change = asIs): MatrixTensor => ({
    spec: named(name, end, dtype, [rows, wide]),
    bytesOf: (parts) => change(parts.words.subarray(0, 4 * words)),
  });
  const scales: MatrixTensor = {
    spec: named(name, "_scale", SCALES[decoding.scales] as SafetensorsDtype, [rows, groups]),
    bytesOf: (parts) => spread(parts.scales, SCALE_FORMATS[decoding.scales].bits / 8, matrix),
  };
  if (layout === "float-quantized") return [codes("", "F8_E4M3", columns), scales];
  if (layout === "mxfp4-pack-quantized") return [codes("_packed", "U8", columns / 2), scales];
  const plain: MatrixTensor = {
    spec: named(name, "_shape", "I64", [2]),
    bytesOf: () => byteView(BigInt64Array.from(shape, BigInt)),
  };
  const points: MatrixTensor = {
    spec: named(name, "_zero_point", "I32", [Math.ceil((rows * bits) / 32), groups]),
    bytesOf: ({ zeros }) => packedPoints(spread(zeros ?? new Uint8Array(), 1, matrix), rows, groups),
  };
  const packed = codes("_packed", "I32", (columns * bits) / 32, bits === 8 ? unsigned : asIs);
  return [packed, scales, plain, ...(decoding.zeros === "points" ? [points] : [])];
}

function named(name: string, end: string, dtype: SafetensorsDtype, shape: readonly number[]): TensorSpec {
  return { name: `${name}${end}`, dtype, shape };
}

const asIs = (bytes: Uint8Array) => bytes;

/** Codes with a sign as `pack_to_int32` has them: 128 more. */
const unsigned = (bytes: Uint8Array) => bytes.map((code) => code ^ 0x80);

/** Numbers of `width` bytes for blocks as numbers for groups. */
function spread(bytes: Uint8Array, width: number, matrix: WrittenMatrix): Uint8Array {
  const [rows, columns] = matrix.shape;
  const group = groupOf(matrix);
  const { block } = matrix.decoding;
  const count = (rows * columns) / group;
  if (group === block) return bytes.subarray(0, count * width);
  const result = new Uint8Array(count * width);
  for (let i = 0; i < count; i++) {
    const from = Math.floor((i * group) / block) * width;
    result.set(bytes.subarray(from, from + width), i * width);
  }
  return result;
}

/** Zero points in 4 bits, those of eight rows in an I32. */
function packedPoints(points: Uint8Array, rows: number, groups: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(rows / 8) * groups);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++) {
      const at = Math.floor(row / 8) * groups + group;
      const point = points[row * groups + group] as number;
      words[at] = (words[at] as number) | (point << (4 * (row % 8)));
    }
  return byteView(words);
}

function config(
  matrices: ReadonlyMap<string, WrittenMatrix>,
  _: string,
  skipped: readonly string[],
): Record<string, unknown> {
  const schemes = new Map<string, { layout: string; weights: object; targets: string[] }>();
  for (const [name, matrix] of matrices) {
    const { layout } = KINDS[matrix.decoding.format] as Kind;
    const weights = schemeOf(matrix);
    const key = JSON.stringify(weights);
    const scheme = schemes.get(key) ?? { layout, weights, targets: [] };
    schemes.set(key, scheme);
    scheme.targets.push(name);
  }
  const layouts = new Set([...schemes.values()].map(({ layout }) => layout));
  const groups = [...schemes.values()].map(({ layout: format, weights, targets }, i) => [
    `group_${i}`,
    { format, targets: schemes.size === 1 ? ["Linear"] : targets, weights, input_activations: null },
  ]);
  return {
    quant_method: "compressed-tensors",
    format: layouts.size === 1 ? [...layouts][0] : "mixed-precision",
    quantization_status: "compressed",
    config_groups: Object.fromEntries(groups),
    ignore: skipped,
  };
}

/** `QuantizationArgs` of the library. */
function schemeOf(matrix: WrittenMatrix): object {
  const { format, zeros } = matrix.decoding;
  const { bits, type } = KINDS[format] as Kind;
  const group = groupOf(matrix);
  const strategy =
    group === matrix.shape[1] && format !== "mxfp4"
      ? { strategy: "channel" }
      : { strategy: "group", group_size: group };
  return { num_bits: bits, type, symmetric: zeros === "none", ...strategy, dynamic: false };
}
