// The kernels that multiply on matrix units: their tiles, and whether these fit.
import type { Device } from "../gpu/device.ts";
import { type MatrixUnits, matrixModule } from "../gpu/subgroup-matrix.ts";
import type { Specialization, WgslModule } from "../gpu/wgsl.ts";
import type { Decoding } from "./formats.ts";
import type { Operands, Problem } from "./matmul-problem.ts";
import { extendedConstants, shaderParams } from "./matmul-shader.ts";
import { bestCut, sliceLength } from "./matmul-slices.ts";
import { fitsTile, inSlices } from "./matmul-tile.ts";
import { scaleBindings, weightDecoding } from "./weight.ts";

/** Rows and columns of C that a workgroup owns, and its subgroups along each. */
export interface MatrixTile {
  readonly rows: number;
  readonly columns: number;
  readonly down: number;
  readonly across: number;
}

/** By variant. */
export const MATRIX_TILES = {
  "matrix-64": { rows: 64, columns: 64, down: 2, across: 2 },
  "matrix-128": { rows: 128, columns: 128, down: 4, across: 2 },
  "matrix-256": { rows: 128, columns: 256, down: 2, across: 4 },
} as const satisfies Record<string, MatrixTile>;

/** Whether a device's matrix units compute such a product by these tiles. */
export function fitsMatrix(tile: MatrixTile, problem: Problem, { info: { matrixUnits } }: Device): boolean {
  return matrixUnits !== undefined && fitsTile(problem) && constantsOf(matrixUnits, tile) !== undefined;
}

/** Of the peak of plain multiply-adds. Not measured: RDNA 3's units have four times that peak, others eight and more. */
const SHARE = 2;

/** Runs it, on slices of the sum where C has few tiles. */
export function launchMatrix(
  shader: WgslModule,
  tile: MatrixTile,
  operands: Operands,
  problem: Problem,
): void {
  const { device } = operands.c;
  const block = { rows: tile.rows, cols: tile.columns, share: SHARE };
  const slice = sliceLength(problem, bestCut(problem, block, device.bindingLimit).slices);
  inSlices(operands, problem, slice, (...part) => launchTiles(shader, tile, ...part, slice));
}

function launchTiles(
  shader: WgslModule,
  tile: MatrixTile,
  { a, b, c, extend }: Operands,
  problem: Problem,
  slice: number,
): void {
  const { m, n, k } = problem;
  const units = a.device.info.matrixUnits as MatrixUnits;
  a.device.run(matrixModule(shader, units), "forward", {
    bind: { a, b: b.words, b_packed: b.words, c, h: extend?.h ?? a, e: extend?.e ?? a, ...scaleBindings(b) },
    params: shaderParams(problem, slice),
    constants: matrixConstants(constantsOf(units, tile) as Specialization, problem, weightDecoding(b)),
    grid: [Math.ceil(n / tile.columns), Math.ceil(m / tile.rows), Math.ceil(k / slice)],
  });
}

const TILES = new WeakMap<MatrixUnits, Map<MatrixTile, Specialization | undefined>>();

/** A tile's constants on a device, undefined where it does not fit; the same object for the same units. */
function constantsOf(units: MatrixUnits, tile: MatrixTile): Specialization | undefined {
  const known = TILES.get(units) ?? new Map<MatrixTile, Specialization | undefined>();
  if (!known.has(tile)) {
    known.set(tile, tileOf(units, tile));
    TILES.set(units, known);
  }
  return known.get(tile);
}

/** Steps of the sum that are staged at a time, the best first. */
const DEPTHS = [32, 16, 8];
/** Most fragments of a subgroup along each side: so many the shader writes out. */
const FRAGMENTS = 4;
/** Most blocks of 4×4 of both operands that an invocation holds while the ones before them are multiplied. */
const BLOCKS = 2;
/** What a staged row is longer by. */
const PADDING = 8;

/** Exported for tests. */
export function tileOf(
  units: MatrixUnits,
  { rows, columns, down, across }: MatrixTile,
): Specialization | undefined {
  const { m, n, k, type, lanes, invocations, workgroupBytes } = units;
  const [ROWS, COLS] = [rows / down / m, columns / across / n];
  const size = lanes * down * across;
  const isWhole = [ROWS, COLS].every((count) => Number.isInteger(count) && count <= FRAGMENTS);
  if (!isWhole || size > invocations) return undefined;
  const bytes = type === "f16" ? 2 : 4;
  const DEPTH = DEPTHS.find((depth) => {
    const staged = 2 * bytes * (rows + columns) * (depth + PADDING);
    const own = Math.ceil((rows * depth) / 16 / size) + Math.ceil((columns * depth) / 16 / size);
    return depth % k === 0 && own <= BLOCKS && staged + 4 * down * across * m * n <= workgroupBytes;
  });
  const sizes = { M: m, N: n, K: k, unit: type, LANES: lanes };
  return DEPTH === undefined ? undefined : { ...sizes, ROWS, COLS, DOWN: down, ACROSS: across, DEPTH };
}

const SPECIALISED = new WeakMap<Specialization, Map<Specialization, Specialization>>();

/** A tile's constants with those of the product's layout; the same frozen object, which the pipeline cache recognises. */
function matrixConstants(own: Specialization, problem: Problem, decoding: Decoding): Specialization {
  const layout = extendedConstants(problem, decoding);
  const byLayout = SPECIALISED.get(own) ?? new Map<Specialization, Specialization>();
  const known = byLayout.get(layout) ?? Object.freeze({ ...layout, ...own });
  SPECIALISED.set(own, byLayout.set(layout, known));
  return known;
}
