// Attention's kernels for matrix units: how many rows a workgroup takes, and whether its memory holds them.
import type { Device } from "../gpu/device.ts";
import type { MatrixUnits } from "../gpu/subgroup-matrix.ts";
import type { Specialization } from "../gpu/wgsl.ts";

/** The kernels' constants on a device, and the rows, queries or keys, that one workgroup owns. */
export interface AttentionTile {
  readonly constants: Specialization;
  readonly rows: number;
}

/** Subgroups of a workgroup and rows of the other side that are staged at a time, the best first. */
const SIZES = [
  [4, 32],
  [4, 16],
  [2, 32],
  [2, 16],
  [1, 16],
] as const;
/** So many fragments along a head the shader writes out. */
const FRAGMENTS = 8;
/** Widest head whose sums are expected to stay in registers. */
const MAX_HEAD_DIM = 128;
/** Most values that an invocation holds of sums and of what it fetches ahead: with more, registers are spilled on navi31. */
const REGISTERS = 192;
/** What a staged row is longer by, in values. */
const PADDING = 8;

/** Forward, or backward for queries and for keys. */
export type AttentionPass = "forward" | "backward";

/** The tile for heads of this size on a device; undefined where it has no matrix units, or none that fit. */
export function attentionTile(
  { info, profile }: Device,
  pass: AttentionPass,
  headDim: number,
): AttentionTile | undefined {
  const { matrixUnits } = info;
  return matrixUnits && profile.sharesWork ? attentionTileOf(matrixUnits, pass, headDim) : undefined;
}

const TILES = new WeakMap<MatrixUnits, Map<string, AttentionTile | undefined>>();

/** {@link attentionTile} of known units; the same object for the same ones. */
export function attentionTileOf(
  units: MatrixUnits,
  pass: AttentionPass,
  headDim: number,
): AttentionTile | undefined {
  const known = TILES.get(units) ?? new Map<string, AttentionTile | undefined>();
  const name = `${pass} ${headDim}`;
  if (!known.has(name)) {
    known.set(name, fittingTile(units, pass, headDim));
    TILES.set(units, known);
  }
  return known.get(name);
}

function fittingTile(units: MatrixUnits, pass: AttentionPass, headDim: number): AttentionTile | undefined {
  const { m, n, k, type, lanes } = units;
  const isWhole = headDim % n === 0 && headDim % k === 0 && headDim % 4 === 0;
  if (!isWhole || headDim > MAX_HEAD_DIM || headDim / n > FRAGMENTS) return undefined;
  const size = SIZES.find(([subgroups, others]) => fits(units, pass, headDim, subgroups, others));
  if (!size) return undefined;
  const [SUBGROUPS, OTHERS] = size;
  const constants = { FM: m, FN: n, FK: k, unit: type, LANES: lanes, SUBGROUPS, OTHERS };
  return { constants, rows: SUBGROUPS * m };
}

function fits(
  units: MatrixUnits,
  pass: AttentionPass,
  headDim: number,
  subgroups: number,
  others: number,
): boolean {
  const { m, n, k, lanes, invocations } = units;
  const parts = lanes / m; // of a row of products
  const isShared = Number.isInteger(parts) && others % (4 * parts) === 0;
  const isWhole = others % n === 0 && others % k === 0;
  const bytes = BYTES[pass](units, headDim, subgroups * m, others);
  const fitsMemory =
    bytes <= units.workgroupBytes && registersOf(units, pass, headDim, subgroups, others) <= REGISTERS;
  return isShared && isWhole && subgroups * lanes <= invocations && fitsMemory;
}

/** Values of sums, of dk and dv together, and of the blocks of 4×4 of two tensors. */
function registersOf(
  { m, lanes }: MatrixUnits,
  pass: AttentionPass,
  headDim: number,
  subgroups: number,
  others: number,
): number {
  const sums = ((pass === "forward" ? 1 : 2) * m * headDim) / lanes;
  return sums + 2 * 16 * Math.ceil((others * headDim) / 16 / (subgroups * lanes));
}

/** Workgroup memory for `own` rows and as many others at a time: operands, products in f32, and a number. */
const BYTES: Readonly<
  Record<AttentionPass, (units: MatrixUnits, headDim: number, own: number, others: number) => number>
> = {
  forward(units, headDim, own, others) {
    const [along, across] = [headDim + PADDING, others + PADDING];
    const values = own * along + Math.max(others * along, own * across) + headDim * across;
    return operandBytes(units, values) + productBytes(own, others);
  },
  backward(units, headDim, own, others) {
    const [along, across] = [headDim + PADDING, others + PADDING];
    const values = 2 * own * along + 2 * Math.max(others * along, own * across) + 2 * headDim * across;
    return operandBytes(units, values) + productBytes(own, others);
  },
};

const operandBytes = ({ type }: MatrixUnits, values: number) => (type === "f16" ? 2 : 4) * values;
const productBytes = (own: number, others: number) => 4 * own * (others + 4) + 4;
