// The kernels whose workgroups own square blocks of C: for GPUs.
import subgroupMatrix from "../../shaders/matmul-subgroup-matrix.wgsl";
import tile from "../../shaders/matmul-tile.wgsl";
import splitSum from "../../shaders/split-sum.wgsl";
import { empty, scoped, type Tensor } from "../gpu/tensor.ts";
import type { WgslModule } from "../gpu/wgsl.ts";
import { perElement } from "./launch.ts";
import type { Operands, Problem } from "./matmul-problem.ts";
import { isVectorizable, shaderParams, tileConstants } from "./matmul-shader.ts";

/** The tile kernels read A along its rows also where it is transposed, and the branch in vectors too. */
export function fitsTile(problem: Problem): boolean {
  const { m, lda, aOffset, aTransposed, kExtra, ldh, eOffset, hOffset } = problem;
  const lengths = [kExtra, ldh, eOffset, hOffset, ...(aTransposed ? [m, lda, aOffset] : [])];
  return isVectorizable(problem) && lengths.every((length) => length % 4 === 0);
}

/** Products by blocks of 64² or 128² in workgroup memory. */
export function launchTile(BLOCK: 64 | 128, operands: Operands, problem: Problem): void {
  launchInSlices(tile, BLOCK, operands, problem);
}

/** Products on matrix units, by blocks of 64². */
export function launchSubgroupMatrix(operands: Operands, problem: Problem): void {
  launchInSlices(subgroupMatrix, 64, operands, problem);
}

/** Workgroups that a product of few blocks is cut into: large GPUs have more than a hundred cores, each runs several. */
const WORKGROUPS = 256;
/** A slice is at least this long: shorter ones take less time than adding them up. */
const SHORTEST = 128;
/** What the kernels stage at a time divides this. */
const STAGE = 32;

/**
 * Steps of the sum that one workgroup computes: all, or a part where C has so few blocks that most of a GPU would idle.
 * The gradients of LoRA's matrices, `[r, in]` and `[out, r]`, are such sums, over all tokens.
 */
export function sliceLength({ m, n, k }: Pick<Problem, "m" | "n" | "k">, BLOCK: number): number {
  const blocks = Math.ceil(m / BLOCK) * Math.ceil(n / BLOCK);
  const slices = Math.max(1, Math.min(Math.floor(WORKGROUPS / blocks), Math.floor(k / SHORTEST)));
  return Math.ceil(k / slices / STAGE) * STAGE;
}

function launchInSlices(shader: WgslModule, BLOCK: number, operands: Operands, problem: Problem): void {
  const { m, n, k } = problem;
  const slice = sliceLength(problem, BLOCK);
  const slices = Math.ceil(k / slice);
  if (slices === 1) launchBlocks(shader, BLOCK, operands, problem, slice);
  else {
    scoped(operands.c.device, () => {
      const parts = empty(operands.c.device, [slices, m, n]);
      const apart = { ...problem, ldc: n, cOffset: 0, beta: 0 };
      launchBlocks(shader, BLOCK, { ...operands, c: parts }, apart, slice);
      addSlices(parts, operands.c, problem);
      return undefined;
    });
  }
}

function launchBlocks(
  shader: WgslModule,
  BLOCK: number,
  { a, b, c, extend }: Operands,
  problem: Problem,
  slice: number,
): void {
  const { m, n, k } = problem;
  a.device.run(shader, "forward", {
    bind: { a, b, b_packed: b, c, h: extend?.h ?? a, e: extend?.e ?? a },
    params: shaderParams(problem, slice),
    constants: tileConstants(problem, b.dtype, BLOCK),
    grid: [Math.ceil(n / BLOCK), Math.ceil(m / BLOCK), Math.ceil(k / slice)],
  });
}

/** c = Σ parts, or c += that where beta is 1. */
function addSlices(parts: Tensor, c: Tensor, { m, n, ldc, cOffset, beta }: Problem): void {
  const unit = (n | ldc | cOffset) % 4 === 0 ? n : 1;
  const { width, count, elem, grid } = perElement(c.device, m * n, unit);
  const [slices = 0] = parts.shape;
  c.device.run(splitSum, "forward", {
    bind: { parts, c },
    params: { count, slices, n: n / width, ldc: ldc / width, c_offset: cOffset / width },
    constants: { elem, ACCUMULATE: beta !== 0 },
    grid,
  });
}
