import portable from "../../shaders/matmul.wgsl";
import small from "../../shaders/matmul-small.wgsl";
import subgroup from "../../shaders/matmul-subgroup.wgsl";
import tile from "../../shaders/matmul-tile.wgsl";
import matvec from "../../shaders/matvec.wgsl";
import matvecSubgroup from "../../shaders/matvec-subgroup.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Launch } from "../gpu/kernel.ts";
import { beforeMatrixUnits } from "../gpu/subgroup-matrix.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { WgslModule } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import { late } from "../util/late.ts";
import type { Activation } from "./activations.ts";
import { panelProducts } from "./few-rows.ts";
import { type Decoding, FORMATS } from "./formats.ts";
import { foldGrid } from "./grid.ts";
import type { InputNorm, TogetherPart } from "./joint-products.ts";
import { texelProducts } from "./large-products.ts";
import { fitsMatrix, launchMatrix, MATRIX_TILES } from "./matmul-matrix.ts";
import {
  type Columns,
  type Layout,
  type Operands,
  type Problem,
  type ProblemOptions,
  poseProblem,
} from "./matmul-problem.ts";
import {
  hasOuterProducts,
  isVectorizable,
  layoutConstants,
  type MatvecConstants,
  matvecConstants,
  shaderParams,
  subgroupConstants,
} from "./matmul-shader.ts";
import { fastestTile, fitsTile, launchTile, type TileVariant } from "./matmul-tile.ts";
import { bindableParts, isBindable } from "./matmul-windows.ts";
import { scaleBindings, type Weight, weightDecoding } from "./weight.ts";

const MATRIX = late(() => import("../../shaders/matmul-subgroup-matrix.wgsl"));
beforeMatrixUnits(MATRIX.load);

export type { InputNorm, TogetherPart } from "./joint-products.ts";
export { type Columns, canPadSum, type Extension, type Layout } from "./matmul-problem.ts";

/**
 * Ways of computing a product. `portable` takes any size and runs everywhere; `matvec` is for a few rows, `subgroup`
 * for CPU rasterisers, the tiles of 64² and 128² for GPUs, and `small` where C has few of them; those of 64², 128² and 128×256
 * on matrix units round the operands to f16, and run only on devices opened with `halfPrecision`.
 */
export type MatmulVariant = "portable" | "matvec" | "subgroup" | TileVariant | keyof typeof MATRIX_TILES;

/** Options of {@link matmul}. */
export interface MatmulOptions extends ProblemOptions {
  /** Most bytes of B in one binding; tests lower it. */
  windowBytes?: number;
  /** Takes this variant instead of the one that is expected to be fastest; for tests and comparisons. */
  variant?: MatmulVariant;
}

/**
 * C = alpha · op(A) op(B) + H op(E), added to `into` where given.
 * @param a `[..., k]` (NN, NT) or `[k, m]` (TN), f32 or f16; leading axes are flattened to rows
 * @param b `[k, n]` (NN, TN) or `[n, k]` (NT): f32 or f16, or a frozen weight of any format (NN, NT); or columns of a tensor
 * @returns `[..., n]`, or `[m, n]` for TN; with `out` the whole of the wider matrix
 */
export function matmul(a: Tensor | Columns, b: Weight | Columns, options: MatmulOptions): Tensor {
  const { windowBytes, variant } = options;
  const [operands, whole] = poseProblem(a, b, options);
  if (isBindable(operands, windowBytes)) launch(operands, whole, variant);
  else for (const part of bindableParts(operands, whole, windowBytes)) launch(...part, variant);
  return operands.c;
}

/**
 * Several products x Wᵀ + h eᵀ of one input in one dispatch, where that is faster than one after the other: a few rows, and weights that
 * are read again and again.
 * @param x `[..., k]` f32
 * @param norm takes the norm of x for x; parts have no branches then
 * @returns what each gives, `[..., n]`, all in one buffer; undefined, with nothing done, where one after the other is the way
 */
export function matmulTogether(
  x: Tensor,
  parts: readonly TogetherPart[],
  norm?: InputNorm,
): Tensor[] | undefined {
  return panelProducts(x)?.launchTogether(x, parts, norm);
}

/** act(x Gᵀ) · (x Uᵀ) in one dispatch, where {@link matmulTogether} would compute both so. */
export function gatedMatmul(
  x: Tensor,
  parts: readonly [gate: TogetherPart, up: TogetherPart],
  activation: Activation,
  norm?: InputNorm,
): Tensor | undefined {
  return panelProducts(x)?.launchGated(x, parts, activation, norm);
}

interface Variant {
  /** Whether the kernel computes such a product on this device. */
  fits(problem: Problem, device: Device): boolean;
  launch(operands: Operands, problem: Problem): void;
}

const VARIANTS: Readonly<Record<MatmulVariant, Variant>> = {
  portable: { fits: () => true, launch: launchPortable },
  matvec: { fits: fitsMatvec, launch: launchMatvec },
  subgroup: { fits: fitsSubgroup, launch: launchSubgroup },
  "tile-64": { fits: fitsTile, launch: (...product) => launchTile(tile, "tile-64", ...product) },
  "tile-128": { fits: fitsTile, launch: (...product) => launchTile(tile, "tile-128", ...product) },
  small: { fits: fitsTile, launch: (...product) => launchTile(small, "small", ...product) },
  "matrix-64": onMatrixUnits("matrix-64"),
  "matrix-128": onMatrixUnits("matrix-128"),
  "matrix-256": onMatrixUnits("matrix-256"),
};

function onMatrixUnits(name: keyof typeof MATRIX_TILES): Variant {
  const own = MATRIX_TILES[name];
  return {
    fits: (...product) => fitsMatrix(own, ...product),
    launch: (...product) => launchMatrix(MATRIX.loaded().default, own, ...product),
  };
}

function launch(operands: Operands, problem: Problem, wanted?: MatmulVariant): void {
  const { device } = operands.a;
  if (!wanted && panelProducts(operands.a)?.launchPanels(operands, problem)) return;
  if (wanted && !VARIANTS[wanted].fits(problem, device))
    fail(
      "matmul",
      `${wanted} cannot compute ${problem.m}×${problem.n}×${problem.k} here`,
      "leave variant out",
    );
  const variant = wanted ?? measured(device, problem, operands.b) ?? expected(device, problem);
  VARIANTS[variant].launch(operands, problem);
}

/** What was measured to be the fastest for such products, if that can compute this one. */
function measured(device: Device, problem: Problem, b: Weight): MatmulVariant | undefined {
  if (device.choices.size === 0) return undefined;
  const { aTransposed, bTransposed, m, n, k } = problem;
  const layout = aTransposed ? "TN" : bTransposed ? "NT" : "NN";
  const name = device.choices.get(matmulClass({ layout, m, n, k, decoding: weightDecoding(b) }));
  const variant = Object.hasOwn(VARIANTS, name ?? "") ? (name as MatmulVariant) : undefined;
  return variant && VARIANTS[variant].fits(problem, device) ? variant : undefined;
}

function expected(device: Device, problem: Problem): MatmulVariant {
  for (const name of preferred(device, problem)) if (VARIANTS[name].fits(problem, device)) return name;
  return "portable";
}

/** The class of products that share a choice: sizes between two powers of two. */
export function matmulClass(product: {
  layout: Layout;
  m: number;
  n: number;
  k: number;
  decoding: Decoding;
}): string {
  const { layout, decoding } = product;
  const [m, n, k] = [octave(product.m), octave(product.n), octave(product.k)];
  const code = LAYOUTS.indexOf(layout) + 4 * (m + 64 * (n + 64 * (k + 64 * decoding.id)));
  let name = CLASSES.get(code);
  if (!name) {
    name = `matmul ${layout} ${decoding.name} m${m} n${n} k${k}`;
    CLASSES.set(code, name);
  }
  return name;
}

/** ⌈log₂ size⌉ */
const octave = (size: number) => 32 - Math.clz32(size - 1);
const LAYOUTS: readonly Layout[] = ["NN", "NT", "TN"];
/** Names of classes by number: putting a name together takes as long as recording a dispatch. */
const CLASSES = new Map<number, string>();

/** The variants that compute such a product, first the one that is taken unless measured otherwise. */
export function matmulVariants(
  device: Device,
  { layout, m, n, k }: { layout: Layout; m: number; n: number; k: number },
): [MatmulVariant, ...MatmulVariant[]] {
  const strides = { lda: layout === "TN" ? m : k, ldb: layout === "NT" ? k : n, ldc: n };
  const offsets = { aOffset: 0, bOffset: 0, cOffset: 0, eOffset: 0, hOffset: 0, bFirst: 0 };
  const none = { ...offsets, kExtra: 0, ldh: 0, alpha: 1, beta: 0 };
  const transposed = { aTransposed: layout === "TN", bTransposed: layout === "NT" };
  const problem = { m, n, k, ...strides, ...none, ...transposed, aHalves: false, cHalves: false };
  const usual = expected(device, problem);
  const names = Object.keys(VARIANTS) as MatmulVariant[];
  return [usual, ...names.filter((name) => name !== usual && VARIANTS[name].fits(problem, device))];
}

/** Variants from the fastest expected to the slowest; the first that fits is taken. */
function preferred({ profile }: Device, problem: Problem): readonly MatmulVariant[] {
  return profile.sharesWork ? ON_GPU[fastestTile(problem)] : ON_CPU;
}

const ON_CPU: readonly MatmulVariant[] = ["matvec", "subgroup"];
const onGpu = (...tiles: MatmulVariant[]): readonly MatmulVariant[] => ["matvec", ...tiles, "subgroup"];
/** By the kernel of blocks that is expected to take least time. */
const ON_GPU: Readonly<Record<TileVariant, readonly MatmulVariant[]>> = {
  "tile-64": onGpu("matrix-64", "tile-64"),
  "tile-128": onGpu("matrix-128", "matrix-64", "tile-128"),
  small: onGpu("small"),
};

/** Whether activations lie in f16. */
const takesHalves = ({ aHalves, cHalves }: Problem) => aHalves || cHalves;

/** Up to this many rows a product only reads the weight: the matvec kernel. */
const MATVEC_ROWS = 4;

function fitsMatvec(problem: Problem): boolean {
  const { m, k, lda, ldb, aOffset, beta, aTransposed, bTransposed } = problem;
  const isWhole = k === lda && k === ldb && aOffset === 0;
  const isFew = m <= MATVEC_ROWS && k % 4 === 0 && isWhole && beta === 0;
  return bTransposed && !aTransposed && isFew && !takesHalves(problem);
}

function fitsSubgroup(problem: Problem, device: Device): boolean {
  return hasOuterProducts(device) && isVectorizable(problem);
}

/** Up to this many columns the subgroup kernel computes the transpose of C: its lanes lie along the columns. */
const FEW = 16;

function launchSubgroup(operands: Operands, problem: Problem): void {
  const { a, b, extend } = operands;
  const { m, n } = problem;
  const isTall = n <= FEW && m > n && !extend && b.format === "f32";
  const swapped = isTall ? transposed(problem) : problem;
  if (isTall && isVectorizable(swapped)) dispatchSubgroup({ ...operands, a: b.words, b: a }, swapped, true);
  else if (!texelProducts(operands, problem)?.launchTexels(operands, problem))
    dispatchSubgroup(operands, problem, false);
}

/** Cᵀ = op(B)ᵀ op(A)ᵀ: the same product with the operands exchanged, of which B is f32. */
function transposed(problem: Problem): Problem {
  const { m, n, lda, ldb, aOffset, bOffset, aTransposed, bTransposed } = problem;
  const shapes = { m: n, n: m, lda: ldb, ldb: lda, aOffset: bOffset, bOffset: aOffset };
  return { ...problem, ...shapes, aTransposed: !bTransposed, bTransposed: !aTransposed, aHalves: false };
}

function dispatchSubgroup({ a, b, c, extend }: Operands, problem: Problem, C_TRANSPOSED: boolean): void {
  const SG = a.device.info.subgroupSize;
  const ROWS = problem.m <= FEW ? 8 : 32;
  a.device.run(subgroup, "forward", {
    bind: { a, b: b.words, b_packed: b.words, c, h: extend?.h ?? a, e: extend?.e ?? a, ...scaleBindings(b) },
    params: shaderParams(problem),
    constants: subgroupConstants(problem, weightDecoding(b), SG, ROWS, C_TRANSPOSED),
    grid: [Math.ceil(problem.n / (4 * SG)), Math.ceil(problem.m / ROWS)],
  });
}

function launchMatvec(operands: Operands, problem: Problem): void {
  const { device } = operands.a;
  const { m, n, k, bFirst } = problem;
  const { block } = weightDecoding(operands.b);
  if (hasOuterProducts(device) && !device.profile.sharesWork) {
    const SG = device.info.subgroupSize;
    const [columns, layers] = foldGrid(Math.ceil(n / (4 * SG)));
    const WHOLE_RUNS = block > 0 && block % 8 === 0 && k % block === 0 && bFirst % block === 0;
    dispatchMatvec(matvecSubgroup, operands, problem, { SG, ROWS: m, WHOLE_RUNS }, [columns, 1, layers]);
    return;
  }
  // Lanes that share a column must meet at barriers.
  const LANES = device.profile.sharesWork ? 16 : 1;
  const [columns, layers] = foldGrid(Math.ceil(n / (64 / LANES)));
  const EIGHTS = eightsOf(k, weightDecoding(operands.b));
  dispatchMatvec(matvec, operands, problem, { LANES, EIGHTS }, [columns, m, layers]);
}

/** Eights of values in 16 bytes, of 16 bits or fewer, where rows and runs consist of such steps; else 0. */
function eightsOf(k: number, { format, block }: Decoding): number {
  const step = Math.min(32, 128 / FORMATS[format].bits);
  return k % step === 0 && block % step === 0 ? Math.floor(step / 8) : 0;
}

function dispatchMatvec(
  shader: WgslModule,
  { a, b, c, extend }: Operands,
  problem: Problem,
  own: MatvecConstants,
  grid: Launch["grid"],
): void {
  const { m, n, k, ldc, ldh, k_extra, c_offset, e_offset, h_offset, b_first, alpha } = shaderParams(problem);
  const { scales, zeros } = scaleBindings(b);
  a.device.run(shader, "forward", {
    bind: { x: a, b: b.words, b_packed: b.words, y: c, h: extend?.h ?? a, e: extend?.e ?? a, scales, zeros },
    params: { m, n, k, ldc, ldh, alpha, k_extra, c_offset, e_offset, h_offset, b_first },
    constants: matvecConstants(weightDecoding(b), own),
    grid,
  });
}

function launchPortable({ a, b, c, extend }: Operands, problem: Problem): void {
  a.device.run(portable, "forward", {
    bind: { a, b: b.words, c, h: extend?.h ?? a, e: extend?.e ?? a, ...scaleBindings(b) },
    params: shaderParams(problem),
    constants: layoutConstants(problem, weightDecoding(b)),
    grid: [Math.ceil(problem.n / 32), Math.ceil(problem.m / 32)],
  });
}
