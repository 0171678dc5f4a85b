// The kernels whose workgroups own blocks of C: for GPUs.
import { empty, scoped } from "../gpu/tensor.ts";
import type { WgslModule } from "../gpu/wgsl.ts";
import type { Operands, Problem } from "./matmul-problem.ts";
import { isVectorizable, shaderParams, smallConstants, tileConstants } from "./matmul-shader.ts";
import { type Block, bestCut, type Cut, sliceLength } from "./matmul-slices.ts";
import { splitSum } from "./split-sum.ts";
import { scaleBindings, weightDecoding } from "./weight.ts";

/** These kernels read A along its rows also where it is transposed, and the branch in vectors too. */
export function fitsTile(problem: Problem): boolean {
  const { m, lda, aOffset, aTransposed, kExtra, ldh, eOffset, hOffset } = problem;
  const branch = kExtra | ldh | eOffset | hOffset;
  // All are multiples of four if the two low bits of none are set.
  return isVectorizable(problem) && ((branch | (aTransposed ? m | lda | aOffset : 0)) & 3) === 0;
}

/** The kernels of this file. */
export type TileVariant = "tile-64" | "tile-128" | "small";

/** Of multiply-adds in the kernels' hot blocks on RDNA 3: 65 % in small ones, but these read all that they need from caches. */
const SHARES: Readonly<Record<TileVariant, number>> = { "tile-64": 0.75, "tile-128": 0.87, small: 0.55 };

/** Side of a block whose sums the invocations of a workgroup share: as short as C allows. */
export const smallSide = (length: number) => (length <= 8 ? 8 : length <= 16 ? 16 : 32);

function blockOf(variant: TileVariant, { m, n }: Pick<Problem, "m" | "n">): Block {
  const share = SHARES[variant];
  if (variant === "small") return { rows: smallSide(m), cols: smallSide(n), share };
  const side = variant === "tile-64" ? 64 : 128;
  return { rows: side, cols: side, share };
}

/** How one of these kernels computes a product best. */
export function cutOf(variant: TileVariant, sizes: Pick<Problem, "m" | "n" | "k">): Cut {
  const key = sizeKey(sizes);
  let known = CUTS[variant].get(key);
  if (!known) {
    known = bestCut(sizes, blockOf(variant, sizes));
    CUTS[variant].set(key, known);
  }
  return known;
}

/** The kernel that is expected to take least time for a product. */
export function fastestTile(sizes: Pick<Problem, "m" | "n" | "k">): TileVariant {
  const key = sizeKey(sizes);
  let known = FASTEST.get(key);
  if (!known) {
    const times = TILES.map((variant) => ({ variant, ...cutOf(variant, sizes) }));
    known = times.reduce((best, each) => (each.time < best.time ? each : best)).variant;
    FASTEST.set(key, known);
  }
  return known;
}

const TILES: readonly TileVariant[] = ["tile-128", "tile-64", "small"];
/** A step asks for the same sizes each time, and to reckon takes longer than to record a dispatch. */
const CUTS: Readonly<Record<TileVariant, Map<number, Cut>>> = {
  "tile-64": new Map(),
  "tile-128": new Map(),
  small: new Map(),
};
const FASTEST = new Map<number, TileVariant>();
/** A number for sizes, the same for others only beyond 2¹⁷ rows or 2¹⁸ columns. */
const sizeKey = ({ m, n, k }: Pick<Problem, "m" | "n" | "k">) => m + 2 ** 17 * (n + 2 ** 18 * k);

/** Whether a product had best be computed by small blocks, in one slice: it can then share a dispatch with others. */
export function isSmallWhole(sizes: Pick<Problem, "m" | "n" | "k">): boolean {
  return fastestTile(sizes) === "small" && cutOf("small", sizes).slices === 1;
}

/** Runs a kernel of blocks, on slices of the sum where that is expected to pay. */
export function launchTile(
  shader: WgslModule,
  variant: TileVariant,
  operands: Operands,
  problem: Problem,
): void {
  const free = cutOf(variant, problem);
  const { bindingLimit } = operands.c.device;
  const isBound = free.slices === 1 || 4 * free.slices * problem.m * problem.n <= bindingLimit;
  const { slices } = isBound ? free : bestCut(problem, blockOf(variant, problem), bindingLimit);
  const slice = sliceLength(problem, slices);
  inSlices(operands, problem, slice, (...part) => launchBlocks(shader, variant, ...part, slice));
}

/** A product by a kernel that computes slices of its sums, whose results are then added up where there are several. */
export function inSlices(
  operands: Operands,
  problem: Problem,
  slice: number,
  launch: (operands: Operands, problem: Problem) => void,
): void {
  const { m, n, k, ldc, cOffset: offset, beta } = problem;
  const slices = Math.ceil(k / slice);
  if (slices === 1) launch(operands, problem);
  else {
    scoped(operands.c.device, () => {
      const parts = empty(operands.c.device, [slices, m, n]);
      launch({ ...operands, c: parts }, { ...problem, ldc: n, cOffset: 0, beta: 0, cHalves: false });
      splitSum(parts, operands.c, { ldc, offset, accumulate: beta !== 0 });
      return undefined;
    });
  }
}

function launchBlocks(
  shader: WgslModule,
  variant: TileVariant,
  { a, b, c, extend }: Operands,
  problem: Problem,
  slice: number,
): void {
  const { m, n, k } = problem;
  const { rows, cols } = blockOf(variant, problem);
  const decoding = weightDecoding(b);
  const { scales, zeros } = scaleBindings(b);
  const { words } = b;
  const [h, e] = [extend?.h ?? a, extend?.e ?? a];
  const bindings = { a, b: words, b_packed: words, c, h, e, scales, zeros };
  a.device.run(shader, "forward", {
    bind: bindings,
    params: shaderParams(problem, slice),
    constants:
      variant === "small"
        ? smallConstants(problem, decoding, rows, cols)
        : tileConstants(problem, decoding, rows),
    grid: [Math.ceil(n / cols), Math.ceil(m / rows), Math.ceil(k / slice)],
  });
}
