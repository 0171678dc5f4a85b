// The kernels whose workgroups own square blocks of C: for GPUs.
import { empty, scoped } from "../gpu/tensor.ts";
import type { WgslModule } from "../gpu/wgsl.ts";
import type { Operands, Problem } from "./matmul-problem.ts";
import { isVectorizable, shaderParams, tileConstants } from "./matmul-shader.ts";
import { splitSum } from "./split-sum.ts";
import { scaleBindings, weightDecoding } from "./weight.ts";

/** The tile kernels read A along its rows also where it is transposed, and the branch in vectors too. */
export function fitsTile(problem: Problem): boolean {
  const { m, lda, aOffset, aTransposed, kExtra, ldh, eOffset, hOffset } = problem;
  const lengths = [kExtra, ldh, eOffset, hOffset, ...(aTransposed ? [m, lda, aOffset] : [])];
  return isVectorizable(problem) && lengths.every((length) => length % 4 === 0);
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
 * @param bindingLimit bytes that the sums of all slices, f32 `[slices, m, n]`, may take
 */
export function sliceLength(
  { m, n, k }: Pick<Problem, "m" | "n" | "k">,
  TILE: number,
  bindingLimit = Number.POSITIVE_INFINITY,
): number {
  const blocks = Math.ceil(m / TILE) * Math.ceil(n / TILE);
  const most = Math.min(WORKGROUPS / blocks, k / SHORTEST, bindingLimit / (4 * m * n));
  const slices = Math.max(1, Math.floor(most));
  return Math.ceil(k / slices / STAGE) * STAGE;
}

/** Runs a kernel of workgroups that own TILE × TILE of C, on slices of the sum where they are few. */
export function launchTile(shader: WgslModule, TILE: 64 | 128, operands: Operands, problem: Problem): void {
  const { m, n, k, ldc, cOffset: offset, beta } = problem;
  const slice = sliceLength(problem, TILE, operands.c.device.bindingLimit);
  const slices = Math.ceil(k / slice);
  if (slices === 1) launchBlocks(shader, TILE, operands, problem, slice);
  else {
    scoped(operands.c.device, () => {
      const parts = empty(operands.c.device, [slices, m, n]);
      const apart = { ...problem, ldc: n, cOffset: 0, beta: 0 };
      launchBlocks(shader, TILE, { ...operands, c: parts }, apart, slice);
      splitSum(parts, operands.c, { ldc, offset, accumulate: beta !== 0 });
      return undefined;
    });
  }
}

function launchBlocks(
  shader: WgslModule,
  TILE: number,
  { a, b, c, extend }: Operands,
  problem: Problem,
  slice: number,
): void {
  const { m, n, k } = problem;
  a.device.run(shader, "forward", {
    bind: { a, b: b.words, b_packed: b.words, c, h: extend?.h ?? a, e: extend?.e ?? a, ...scaleBindings(b) },
    params: shaderParams(problem, slice),
    constants: tileConstants(problem, weightDecoding(b), TILE),
    grid: [Math.ceil(n / TILE), Math.ceil(m / TILE), Math.ceil(k / slice)],
  });
}
