import { decodingOf, type WeightFormat } from "../../../kernels/formats.ts";
import { shown } from "../../../util/shown.ts";
import { isWhole } from "../../json/shape.ts";
import type { SafetensorsDtype } from "../safetensors.ts";
import type { QuantisationMethod, StoredMatrix } from "./method.ts";
import { packedOf, stored } from "./parts.ts";
import { type Size, scalesOf } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";

/** Types of eight-bit floats, and our names for them. */
const FLOAT8: Partial<Record<SafetensorsDtype, WeightFormat>> = {
  F8_E4M3: "fp8_e4m3",
  F8_E5M2: "fp8_e5m2",
};

/**
 * Eight-bit floats with a scale for each block of rows and columns, as DeepSeek and Qwen publish them, for each row
 * (`fbgemm_fp8`), or for the matrix. `weight_scale_inv` is, against its name, what a code is multiplied with
 * (`Fp8Dequantize` in integrations/finegrained_fp8.py of transformers).
 */
export const fp8: QuantisationMethod = {
  names: ["fp8", "fbgemm_fp8"],
  parts: ["weight", "weight_scale_inv", "weight_scale", "activation_scale", "input_scale", "input_scale_ub"],
  open({ weight_block_size: given, quant_method }, refuse) {
    const isBlocked = quant_method === "fp8" && given !== null;
    const block: unknown = isBlocked ? (given ?? [128, 128]) : [1, 1];
    if (!isBlock(block)) refuse(`weight_block_size is ${shown(block)}, expected [rows, columns]`);
    return (layer) => {
      const scale =
        ["weight_scale_inv", "weight_scale"].find((name) => layer.part(name)) ?? "weight_scale_inv";
      return readFloat8(layer, scale, isBlocked ? (block as Size) : undefined);
    };
  },
};

const isBlock = (block: unknown): block is Size =>
  Array.isArray(block) && block.length === 2 && block.every((size) => isWhole(size, 2 ** 20) && size > 0);

/**
 * value = code · scale.
 * @param name of the scales: one for each block, row, or group of a row, or for all
 * @param block rows and columns that share a scale; undefined where the scales' shape says it
 */
export function readFloat8(layer: StoredLayer, name: string, block?: Size): StoredMatrix | undefined {
  const codes = layer.need("weight", { dtypes: Object.keys(FLOAT8) as SafetensorsDtype[], shape: [0, 0] });
  const grid = layer.part(name) ?? layer.refuse(`${layer.path}.${name} is missing`);
  if (!codes || !grid) return undefined;
  const [rows = 0, columns = 0] = codes.shape;
  const scales = scalesOf(layer, grid, [rows, columns], block);
  const format = FLOAT8[codes.dtype];
  if (!scales || !format) return undefined;
  const decoding = decodingOf(format, { block: scales.block, scales: scales.format });
  const parts = { words: stored(layer, codes), scales: scales.part };
  return { codes, shape: [rows, columns], packed: packedOf(format, decoding, columns, parts) };
}
