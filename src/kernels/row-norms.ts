import shader from "../../shaders/row-norms.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { perRow } from "./launch.ts";
import { rowWindows } from "./windows.ts";

/** Σ over the last axis of x². @param x `[..., cols]` f32 @returns `[rows]` */
export function rowSquares(x: Tensor): Tensor {
  const sums = empty(x.device, [x.rows]);
  const lines = x.reshape([x.rows, x.columns]);
  for (const { start, end } of rowWindows(lines)) {
    const { width, elem, WG, LANES, grid } = perRow(x.device, end - start, x.columns);
    const [rows, sums_out] = [lines.slice(start, end), sums.slice(start, end)];
    x.device.run(shader, "squares", {
      bind: { x: rows, sums_out },
      params: { rows: end - start, cols: x.columns / width },
      constants: { elem, WIDTH: width, WG, LANES },
      grid,
    });
  }
  return sums;
}

/** What {@link inverseNorms} adds to each row's sum of squares: Σ over k of B[row, k] · P[k, row]. */
export interface LowRankSquares {
  /** `[rows, r]` f32 */
  readonly B: Tensor;
  /** `[r, rows]` f32 */
  readonly P: Tensor;
}

/**
 * 1 / √(squares + what a low-rank update adds), `[rows]`. With P = 2 s A Wᵀ + s² (A Aᵀ) Bᵀ these are the inverse norms
 * of the rows of W + s B A, of which no row is ever computed.
 * @param squares {@link rowSquares} of W
 */
export function inverseNorms(squares: Tensor, update?: LowRankSquares): Tensor {
  const { device, size: rows } = squares;
  const { B = squares, P = squares } = update ?? {};
  const rank = update ? B.columns : 0;
  if (update && (B.rows !== rows || P.rows !== rank || P.columns !== rows))
    fail("inverseNorms", `B [${B.shape}] and P [${P.shape}] do not go with ${rows} rows`);
  const inverse_out = empty(device, [rows]);
  device.run(shader, "inverse", {
    bind: { sums: squares, b: B, p: P, inverse_out },
    params: { rows, cols: rank },
    constants: { WG: 64 },
    grid: foldGrid(Math.ceil(rows / 64)),
  });
  return inverse_out;
}
