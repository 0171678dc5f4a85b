import type { ScaleFormat } from "../../../kernels/formats.ts";
import { byteView, float32View, uint16View, uint32View } from "../../../util/bytes.ts";
import { greatestCommonDivisor } from "../../../util/divisors.ts";
import { decodeBf16, decodeF16 } from "../../../util/half.ts";
import { transpose } from "../../../util/transpose.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { SafetensorsDtype } from "../safetensors.ts";
import { made, type Part, stored } from "./parts.ts";
import type { StoredLayer } from "./stored-layer.ts";

/** Rows and columns of a matrix, or of a part of it. */
export type Size = readonly [rows: number, columns: number];

/** Scales of a weight as kernels read them: one for each run of `block` values, row after row. */
export interface Scales {
  readonly format: ScaleFormat;
  readonly block: number;
  /** Of how many numbers the grid is that they come from. */
  readonly cells: number;
  /** Number of runs. */
  readonly runs: number;
  /** The number in the grid that a run has. */
  cellOf(run: number): number;
  readonly part: Part;
  /** The scales of all runs in f32. */
  values(): Promise<Float32Array>;
}

/** Types in which scales are stored, the bytes of one, and how they lie on the device: as they are. */
const STORED: Partial<Record<SafetensorsDtype, readonly [bytes: number, format: ScaleFormat]>> = {
  F32: [4, "f32"],
  BF16: [2, "bf16"],
  F16: [2, "f16"],
  U8: [1, "e8m0"],
};

/** Types of scales that are floats. */
export const FLOATS: readonly SafetensorsDtype[] = ["F32", "BF16", "F16"];

/**
 * Scales whose shape says what they are of: the matrix (`[]` or `[1]`), rows (`[out]`, `[out, 1]`), groups of a row
 * (`[out, groups]`), or blocks.
 */
export function scalesOf(
  layer: StoredLayer,
  tensor: CheckpointTensor,
  size: Size,
  block?: Size,
  dtypes: readonly SafetensorsDtype[] = [...FLOATS, "U8"],
): Scales | undefined {
  if (!dtypes.includes(tensor.dtype))
    return layer.refuse(`${tensor.name} is ${tensor.dtype}, expected ${dtypes.join(", ")}`);
  const cell = cellOf(tensor.shape, size, block);
  const scales = cell && scaleGrid(layer, tensor, size, cell);
  if (scales && !isBlock(scales.block, size[1]))
    return layer.refuse(`${tensor.name}: a scale is for ${scales.block} values; read are multiples of 4`);
  if (scales) return scales;
  const blocks = block ? `, in blocks of [${block.join(", ")}]` : "";
  return layer.refuse(
    `${tensor.name} is [${tensor.shape.join(", ")}], which divides no [${size.join(", ")}]${blocks}`,
  );
}

function cellOf(shape: readonly number[], [rows, columns]: Size, block?: Size): Size | undefined {
  const [down = 1, across = 1] = shape;
  if (shape.length > 2) return undefined;
  if (down * across === 1) return [rows, columns];
  if (block) {
    const fits = down === Math.ceil(rows / block[0]) && across === Math.ceil(columns / block[1]);
    if (fits) return block;
  }
  return down === rows && columns % across === 0 ? [1, columns / across] : undefined;
}

/**
 * Scales that are stored as a grid, each for a cell of the matrix; cells at its right and lower edge may be cut off. What
 * runs of values don't say is said by repeating scales.
 * @param tensor the grid, row after row, in any shape; F32, BF16, F16, or U8 for powers of two (E8M0)
 */
function scaleGrid(layer: StoredLayer, tensor: CheckpointTensor, [rows, columns]: Size, cell: Size): Scales {
  const block = greatestCommonDivisor(Math.min(cell[1], columns), columns);
  const [width, format] = STORED[tensor.dtype] ?? [1, "e8m0"];
  const across = Math.ceil(columns / cell[1]);
  const isPlain = cell[0] === 1 && block === Math.min(cell[1], columns);
  const perRow = columns / block;
  const runs = rows * perRow;
  const cellOf = (run: number) => {
    const [row, column] = [Math.floor(run / perRow), (run % perRow) * block];
    return Math.floor(row / cell[0]) * across + Math.floor(column / cell[1]);
  };
  const repeated = async () => {
    const grid = await layer.read(tensor);
    if (isPlain) return grid;
    const scales = new Uint8Array(runs * width);
    for (let run = 0; run < runs; run++) {
      const from = cellOf(run) * width;
      for (let i = 0; i < width; i++) scales[run * width + i] = grid[from + i] as number;
    }
    return scales;
  };
  return {
    ...{ format, block, runs, cellOf, cells: Math.ceil(rows / cell[0]) * across },
    part: isPlain ? stored(layer, tensor) : made(repeated),
    values: async () => decoded(await repeated(), tensor.dtype),
  };
}

function decoded(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array {
  if (dtype === "F32") return float32View(bytes);
  return dtype === "BF16" ? decodeBf16(uint16View(bytes)) : decodeF16(uint16View(bytes));
}

/**
 * Scales that are stored column by column, `[groups, out]`, as the codes beside them are.
 * @param name of the tensor
 */
export function turnedScales(layer: StoredLayer, name: string, [rows, columns]: Size): Scales | undefined {
  const tensor = layer.need(name, { dtypes: FLOATS, shape: [0, rows] });
  if (!tensor) return undefined;
  const [groups = 0] = tensor.shape;
  const block = columns / groups;
  if (!isBlock(block, columns))
    return layer.refuse(
      `${tensor.name} has ${groups} groups, and rows have ${columns} values: groups of a multiple of 4 values are read`,
    );
  const turned = () => readTurned(layer, tensor);
  return {
    ...{ format: STORED[tensor.dtype]?.[1] ?? "f32", block, runs: rows * groups, cells: rows * groups },
    cellOf: (run) => run,
    part: made(turned),
    values: async () => decoded(byteView(await turned()), tensor.dtype),
  };
}

const isBlock = (block: number, columns: number) =>
  Number.isInteger(block) && (block % 4 === 0 || columns % 4 !== 0);

/** A matrix of numbers of 16 or 32 bits as its transpose. */
export async function readTurned(
  layer: StoredLayer,
  tensor: CheckpointTensor,
): Promise<Uint16Array | Uint32Array> {
  const [rows = 0, columns = 0] = tensor.shape;
  const bytes = await layer.read(tensor);
  const isWide = bytes.length === 4 * rows * columns;
  return transpose<Uint16Array | Uint32Array>(isWide ? uint32View(bytes) : uint16View(bytes), rows, columns);
}
