import { decodingOf } from "../../../kernels/formats.ts";
import { isObject, type JsonObject } from "../../../util/json.ts";
import { shown } from "../../../util/shown.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { PackedMatrix } from "../packed.ts";
import { signed } from "./integers.ts";
import type { QuantisationMethod, StoredMatrix } from "./method.ts";
import { MX_BLOCK, mxfp4Matrix } from "./mxfp4.ts";
import { made, type Part, packedOf, stored } from "./parts.ts";
import { FLOATS, type Scales, type Size, scalesOf } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";

const BITS = [2, 3, 4, 5, 6, 8];

/**
 * MLX (`mx.quantize`, mlx/ops.cpp): codes of a row as one stream of bits in U32 words, the first in the low bits, with a scale
 * and an offset for each group. Embeddings are quantised, too; layers may have settings of their own, by their paths.
 */
export const mlx: QuantisationMethod = {
  names: ["mlx"],
  parts: ["weight", "scales", "biases"],
  open(settings, refuse) {
    checkSettings(settings, "", refuse);
    for (const [path, own] of Object.entries(settings))
      if (isObject(own)) checkSettings({ ...settings, ...own }, `${path}.`, refuse);
    return (layer) => {
      const own = settings[layer.path];
      const { bits, group_size: group, mode } = { ...settings, ...(isObject(own) && own) };
      return mode === "mxfp4" ? readMicroscaled(layer) : readAffine(layer, Number(bits), Number(group));
    };
  },
};

function checkSettings(
  { bits, group_size: group, mode = "affine" }: JsonObject,
  prefix: string,
  refuse: (problem: string) => void,
): void {
  const wanted = `read are ${BITS.join(", ")}`;
  if (mode !== "affine" && mode !== "mxfp4")
    refuse(`${prefix}mode is ${shown(mode)}; read are "affine" and "mxfp4"`);
  else if (mode === "mxfp4" && (bits !== 4 || group !== MX_BLOCK))
    refuse(
      `${prefix}mode is mxfp4 with bits ${shown(bits)} and group_size ${shown(group)}, expected 4 and 32`,
    );
  else if (!BITS.includes(bits as number)) refuse(`${prefix}bits is ${shown(bits)}; ${wanted}`);
  else if (![32, 64, 128].includes(group as number))
    refuse(`${prefix}group_size is ${shown(group)}; read are 32, 64, 128`);
}

/** value = code · scale + offset. */
function readAffine(layer: StoredLayer, bits: number, group: number): StoredMatrix | undefined {
  const codes = layer.need("weight", { dtypes: ["U32"], shape: [0, 0] });
  const [rows = 0, words = 0] = codes?.shape ?? [];
  const columns = (words * 32) / bits;
  const groups = columns / group;
  if (codes && !Number.isInteger(groups))
    return layer.refuse(
      `${codes.name} has ${columns} values of ${bits} bits in a row, which groups of ${group} do not divide`,
    );
  const scale = layer.need("scales", { dtypes: FLOATS, shape: [rows, groups] });
  const offset = layer.need("biases", { dtypes: scale ? [scale.dtype] : FLOATS, shape: [rows, groups] });
  const [scales, offsets] = [scale, offset].map(
    (tensor) => tensor && scalesOf(layer, tensor, [rows, columns]),
  );
  if (!codes || !scales || !offsets) return undefined;
  return { codes, shape: [rows, columns], packed: affine(layer, codes, { bits, columns, scales, offsets }) };
}

interface Affine {
  readonly bits: number;
  readonly columns: number;
  readonly scales: Scales;
  readonly offsets: Scales;
}

/** As 4 bits where they fit into them, else as 8: with a sign where all eight are used. */
function affine(layer: StoredLayer, codes: CheckpointTensor, given: Affine): PackedMatrix {
  const { bits, columns, scales, offsets } = given;
  const format = bits <= 4 ? "int4" : "int8";
  const { block } = scales;
  if (bits < 8) {
    const words = bits === 4 ? stored(layer, codes) : widened(layer, codes, bits, bits < 4 ? 4 : 8);
    const decoding = decodingOf(format, { block, scales: scales.format, zeros: "offsets" });
    return packedOf(format, decoding, columns, { words, scales: scales.part, zeros: offsets.part });
  }
  // 128 less is what a code with a sign has.
  const moved = async () => {
    const [factors, values] = await Promise.all([scales.values(), offsets.values()]);
    return values.map((value, run) => value + 128 * (factors[run] as number));
  };
  const decoding = decodingOf(format, { block, scales: "f32", zeros: "offsets" });
  const words = stored(layer, codes, signed);
  return packedOf(format, decoding, columns, { words, scales: made(scales.values), zeros: made(moved) });
}

/** Codes of a stream of bits in 4 or 8 bits each. Runs begin where a byte does, since rows are whole groups. */
function widened(layer: StoredLayer, tensor: CheckpointTensor, from: number, to: 4 | 8): Part {
  return async (start, end) => {
    const first = (start * 8) / to;
    const count = Math.min((end * 8) / to, ((tensor.end - tensor.begin) * 8) / from) - first;
    const bytes = await layer.read(tensor, (first * from) / 8, ((first + count) * from) / 8);
    const codes = new Uint8Array(Math.ceil((count * to) / 8));
    const mask = 2 ** from - 1;
    let [pending, bits, next] = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      if (bits < from) {
        pending |= (bytes[next++] as number) << bits;
        bits += 8;
      }
      if (to === 8) codes[i] = pending & mask;
      else codes[i >> 1]! |= (pending & mask) << (4 * (i & 1));
      pending >>= from;
      bits -= from;
    }
    return codes;
  };
}

/** Four-bit floats with a power of two for each 32. */
function readMicroscaled(layer: StoredLayer): StoredMatrix | undefined {
  const codes = layer.need("weight", { dtypes: ["U32"], shape: [0, 0] });
  const [rows = 0, words = 0] = codes?.shape ?? [];
  const size: Size = [rows, 8 * words];
  const scales = layer.need("scales", { dtypes: ["U8"], shape: [rows, Math.ceil(size[1] / MX_BLOCK)] });
  return codes && scales && mxfp4Matrix(layer, size, codes, scales);
}
