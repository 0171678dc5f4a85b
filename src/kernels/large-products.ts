// Products so large that copies of their operands pay, which have kernels of their own on CPU rasterisers.
import { late } from "../util/late.ts";
import type { Operands, Problem } from "./matmul-problem.ts";

const TEXELS = late(() => import("./matmul-texels.ts"));

/** Loads them. Nothing is computed on a CPU rasteriser before that. */
export const loadTexels = TEXELS.load;

/** Lanes of the subgroups for which they were measured. */
const LANES = 8;
/** Copies take time for each row and column of C, and save it for each of its values: below so many a row or column they do not pay. */
const FEWEST = 160;

/** The kernels of a large product of f32, where textures are read faster than buffers: CPU rasterisers' lanes read these one after the other. */
export function texelProducts({ a, b }: Operands, { m, n }: Problem) {
  const { info, profile } = a.device;
  const isFaster = info.readsTexels && !profile.sharesWork && info.subgroupSize === LANES;
  return isFaster && b.format === "f32" && m * n >= FEWEST * (m + n) ? TEXELS.loaded() : undefined;
}
