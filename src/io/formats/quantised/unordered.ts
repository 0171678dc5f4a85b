import { uint32View } from "../../../util/bytes.ts";
import { encodeBf16, encodeF16 } from "../../../util/half.ts";
import { shown } from "../../../util/shown.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { SafetensorsDtype } from "../safetensors.ts";
import type { Integers } from "./integers.ts";
import { made, type Part } from "./parts.ts";
import type { Size } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";

// Columns that were put into groups by how strongly they are activated (`desc_act`, `actorder`): they lie where they were, and
// `g_idx` says the group of each. Kernels know scales of neighbouring values alone, so that such a matrix is unpacked.

/** A matrix of whole numbers whose columns have scales of groups that lie apart. */
export interface Unordered extends Omit<Integers, "columns"> {
  readonly size: Size;
  /** The group of each column. */
  readonly groups: Uint32Array;
}

/** How the values of a matrix lie, that are unpacked when they are read. */
export interface Unpacked {
  readonly dtype: SafetensorsDtype;
  readonly bytes: Part;
}

/** The group of each column; undefined, and noted, where one names none. */
export async function readGroups(
  layer: StoredLayer,
  tensor: CheckpointTensor,
  count: number,
): Promise<Uint32Array | undefined> {
  const step = tensor.dtype === "I64" ? 2 : 1;
  const groups = uint32View(await layer.read(tensor)).filter((_, i) => i % step === 0);
  const wrong = groups.findIndex((group) => group >= count);
  if (wrong < 0) return groups;
  return layer.refuse(
    `${tensor.name}: column ${wrong} is in group ${shown((groups[wrong] as number) | 0)} of ${count}`,
  );
}

/** Whether columns are in groups one after another. */
export function isSorted(groups: Uint32Array, block: number): boolean {
  return groups.every((group, column) => group === Math.floor(column / block));
}

/**
 * value = (code − zero) · scale, in the number format of the scales: what the library itself computes with
 * (`dequantize_weight` in nn_modules/qlinear of GPTQModel, `dequantize` in quantization/lifecycle/forward.py of
 * compressed-tensors), rounded once.
 */
export function unpacked(integers: Unordered): Unpacked {
  const { format } = integers.scales;
  const bytes = made(async () => {
    const values = await valuesOf(integers);
    if (format === "f32") return values;
    return format === "bf16" ? encodeBf16(values) : encodeF16(values);
  });
  const dtype = format === "f32" ? "F32" : format === "bf16" ? "BF16" : "F16";
  return { dtype, bytes };
}

async function valuesOf({ bits, size, words, scales, zeros, groups }: Unordered): Promise<Float32Array> {
  const [rows, columns] = size;
  const codes = await words(0, (rows * columns * bits) / 8);
  const [factors, points] = [await scales.values(), await zeros?.()];
  const across = scales.runs / rows;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const run = row * across + (groups[column] as number);
      const point = points ? (points[scales.cellOf(run)] as number) : bits === 4 ? 8 : 0;
      values[at] = (codeAt(codes, at, bits) - point) * (factors[run] as number);
    }
  return values;
}

/** Code `at`: of 4 bits without a sign, of 8 with one. */
function codeAt(codes: Uint8Array, at: number, bits: 4 | 8): number {
  if (bits === 8) return ((codes[at] as number) << 24) >> 24;
  return ((codes[at >> 1] as number) >> (4 * (at & 1))) & 15;
}
