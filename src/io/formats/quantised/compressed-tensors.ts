import { uint32View } from "../../../util/bytes.ts";
import { isObject, type JsonObject } from "../../../util/json.ts";
import { shown } from "../../../util/shown.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { SafetensorsDtype } from "../safetensors.ts";
import { readFloat8 } from "./fp8.ts";
import { packedIntegers, signed } from "./integers.ts";
import type { QuantisationMethod, ReadLayer, StoredMatrix } from "./method.ts";
import { MX_BLOCK, mxfp4Matrix } from "./mxfp4.ts";
import { stored } from "./parts.ts";
import { FLOATS, type Scales, type Size, scalesOf } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";
import { isSorted, readGroups, unpacked } from "./unordered.ts";

/** `CompressionFormat` of the library; that of a layer shows in its tensors. */
const FORMATS = [
  ...["pack-quantized", "int-quantized", "float-quantized", "naive-quantized"],
  ...["mxfp4-pack-quantized", "mixed-precision", "dense"],
];

const PARTS = [
  "weight_packed",
  "weight_scale",
  "weight_shape",
  "weight_zero_point",
  "weight_g_idx",
  "weight",
];

/** compressed-tensors, which llm-compressor saves: its compressors say which tensors a layer has. */
export const compressedTensors: QuantisationMethod = {
  names: ["compressed-tensors"],
  // Scales of activations change nothing here.
  parts: [
    ...PARTS,
    "weight_global_scale",
    "input_scale",
    "input_zero_point",
    "input_global_scale",
    "output_scale",
  ],
  open(settings, refuse) {
    const { format, sparsity_config: sparsity, transform_config: transform } = settings;
    const groups = Object.values(isObject(settings.config_groups) ? settings.config_groups : {}).filter(
      isObject,
    );
    for (const name of [format, ...groups.map((group) => group.format)])
      if (typeof name === "string" && !FORMATS.includes(name))
        refuse(`format is ${shown(name)}; read are ${FORMATS.join(", ")}`);
    if (isObject(sparsity) && !["dense", undefined].includes(sparsity.format as string | undefined))
      refuse(`sparsity_config has ${shown(sparsity.format)}: no sparse weights are read`);
    if (isObject(transform) && Object.keys(transform).length > 0)
      refuse("transform_config rotates what layers read: it is not known here");
    return readLayer(blocksOf(groups));
  },
};

/** Rows and columns of blocks, of all groups of layers. */
function blocksOf(groups: readonly JsonObject[]): Size | undefined {
  const weights = groups.map((group) => group.weights).filter(isObject);
  const [block] = weights.flatMap(({ block_structure: block }) => (Array.isArray(block) ? [block] : []));
  return block?.length === 2 ? [Number(block[0]), Number(block[1])] : undefined;
}

const readLayer =
  (block: Size | undefined): ReadLayer =>
  (layer) => {
    const packed = layer.part("weight_packed");
    if (packed?.dtype === "U8") return readMicroscaled(layer, packed);
    if (packed) return readPacked(layer, packed);
    if (layer.part("weight")?.dtype === "I8") return readInts(layer);
    return readFloat8(layer, "weight_scale", block);
  };

/** Codes of 8 bits with a sign, each in a byte. */
function readInts(layer: StoredLayer): StoredMatrix | undefined {
  const codes = layer.need("weight", { dtypes: ["I8"], shape: [0, 0] });
  const [rows = 0, columns = 0] = codes?.shape ?? [];
  const scales = floatScales(layer, [rows, columns]);
  const zeros = layer.part("weight_zero_point");
  if (zeros && scales && !isOfCells(layer, zeros, ["I8"], scales.cells)) return undefined;
  if (!codes || !scales) return undefined;
  const points = zeros && (async () => signedBytes(await layer.read(zeros)));
  const packed = packedIntegers({ bits: 8, columns, words: stored(layer, codes), scales, zeros: points });
  return { codes, shape: [rows, columns], packed };
}

/** Codes of 4 or 8 bits in 32-bit words, plus half of their range (`pack_to_int32`). */
async function readPacked(layer: StoredLayer, codes: CheckpointTensor): Promise<StoredMatrix | undefined> {
  const size = await readSize(layer);
  if (!size) return undefined;
  const [rows, columns] = size;
  const bits = ([4, 8] as const).find((bits) => codes.shape.join() === `${rows},${(columns * bits) / 32}`);
  if (codes.dtype !== "I32" || bits === undefined) {
    const is = `${codes.dtype} [${codes.shape.join(", ")}]`;
    return layer.refuse(
      `${codes.name} is ${is}: no [${size.join(", ")}] in 4 or 8 bits, eight or four to an I32`,
    );
  }
  const scales = floatScales(layer, size);
  if (!scales) return undefined;
  const zeros = layer.part("weight_zero_point");
  const points = zeros && packedPoints(layer, zeros, { rows, bits, cells: scales.cells });
  if (zeros && !points) return undefined;
  const words = stored(layer, codes, bits === 8 ? signed : undefined);
  const order = layer.part("weight_g_idx") && (await readOrder(layer, size, scales));
  if (layer.part("weight_g_idx") && !order) return undefined;
  const packed =
    order && !isSorted(order, scales.block)
      ? unpacked({ bits, size, words, scales, zeros: points, groups: order })
      : packedIntegers({ bits, columns, words, scales, zeros: points });
  return { codes, shape: size, packed };
}

/** The group of each column: `-1` of all where they are in order. */
async function readOrder(
  layer: StoredLayer,
  [, columns]: Size,
  { block }: Scales,
): Promise<Uint32Array | undefined> {
  const tensor = layer.need("weight_g_idx", { dtypes: ["I32", "I64"], shape: [columns] });
  if (!tensor) return undefined;
  const bytes = await layer.read(tensor);
  if (bytes.every((byte) => byte === 255)) return Uint32Array.from({ length: columns }, (_, i) => i / block);
  return readGroups(layer, tensor, columns / block);
}

/** `weight_shape`: `[out, in]` before it was packed. */
async function readSize(layer: StoredLayer): Promise<Size | undefined> {
  const tensor = layer.need("weight_shape", { dtypes: ["I64", "I32"], shape: [2] });
  if (!tensor) return undefined;
  const bytes = (await layer.read(tensor)).slice();
  const sizes = tensor.dtype === "I64" ? new BigInt64Array(bytes.buffer) : new Int32Array(bytes.buffer);
  const [rows, columns] = [Number(sizes[0]), Number(sizes[1])];
  return rows > 0 && columns > 0
    ? [rows, columns]
    : layer.refuse(`${tensor.name} says [${rows}, ${columns}]`);
}

function floatScales(layer: StoredLayer, size: Size): Scales | undefined {
  const tensor = layer.part("weight_scale");
  if (!tensor) return layer.refuse(`${layer.path}.weight_scale is missing`);
  return scalesOf(layer, tensor, size, undefined, FLOATS);
}

/** Zero points: of each cell one in I8, or, packed as the codes are, those of eight or four rows in an I32. */
function packedPoints(
  layer: StoredLayer,
  tensor: CheckpointTensor,
  { rows, bits, cells }: { rows: number; bits: 4 | 8; cells: number },
): (() => Promise<ArrayLike<number>>) | undefined {
  const half = bits === 4 ? 8 : 0; // int4 has codes without a sign
  if (tensor.dtype === "I8" && isOfCells(layer, tensor, ["I8"], cells))
    return async () => Int8Array.from(signedBytes(await layer.read(tensor)), (point) => point + half);
  const [across, words] = [cells / rows, Math.ceil((rows * bits) / 32)];
  if (!layer.need("weight_zero_point", { dtypes: ["I32", "I8"], shape: [words, across] })) return undefined;
  return async () => {
    const packed = uint32View(await layer.read(tensor));
    return Int8Array.from({ length: cells }, (_, cell) => {
      const [row, column] = [Math.floor(cell / across), cell % across];
      const at = row * bits;
      const word = packed[(at >> 5) * across + column] as number;
      const code = (word >>> (at & 31)) & (2 ** bits - 1);
      return bits === 4 ? code : code - 128;
    });
  };
}

/** Whether a tensor has a number for each cell of the scales' grid; noted where it hasn't. */
function isOfCells(
  layer: StoredLayer,
  { name, dtype, shape }: CheckpointTensor,
  dtypes: readonly SafetensorsDtype[],
  cells: number,
): boolean {
  const isOne = dtypes.includes(dtype) && shape.reduce((count, size) => count * size, 1) === cells;
  if (!isOne)
    layer.refuse(
      `${name} is ${dtype} [${shape.join(", ")}], expected ${dtypes.join(" or ")}, one for each of ${cells} scales`,
    );
  return isOne;
}

/** Four-bit floats (E2M1), the first in the low half of a byte, with powers of two for each 32. */
function readMicroscaled(layer: StoredLayer, codes: CheckpointTensor): StoredMatrix | undefined {
  const [rows = 0, half = 0] = codes.shape;
  const columns = 2 * half;
  const scales = layer.need("weight_scale", { dtypes: ["U8"], shape: [rows, Math.ceil(columns / MX_BLOCK)] });
  if (codes.shape.length !== 2 || !scales) return undefined;
  return mxfp4Matrix(layer, [rows, columns], codes, scales);
}

const signedBytes = ({ buffer, byteOffset, length }: Uint8Array) => new Int8Array(buffer, byteOffset, length);
