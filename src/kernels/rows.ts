import shader from "../../shaders/rows.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { zeros } from "./elementwise.ts";
import { perElement } from "./launch.ts";
import { storedAs } from "./stored.ts";

/**
 * y[m] = x[index[m]]: keeps only some rows, say those that have a label.
 * @param x `[..., cols]` f32
 * @param index `[M]` u32 or i32, each below the rows of x
 * @returns `[M, cols]`
 */
export function gatherRows(x: Tensor, index: Tensor): Tensor {
  checkIndex("gatherRows", index);
  const y = emptyLike(x, [index.size, x.columns]);
  const { width, count, elem, WG, grid } = perElement(x.device, y.size, x.columns);
  x.device.run(shader, "gather", {
    bind: { x, index, y },
    params: { count, cols: x.columns / width },
    constants: { elem, WG, ...storedAs("gatherRows", elem, [x]) },
    grid,
  });
  return y;
}

/**
 * The backward pass of {@link gatherRows}: row index[m] is dy[m], rows that are not in the index are zero.
 * @param dy `[M, cols]` f32
 * @param index `[M]` u32 or i32, no entry twice, each below `rows`
 * @returns `[rows, cols]`, or `into` with the rows added to it
 */
export function scatterRows(dy: Tensor, index: Tensor, rows: number, into?: Tensor): Tensor {
  checkIndex("scatterRows", index);
  if (index.size !== dy.rows) fail("scatterRows", `${index.size} indices for ${dy.rows} rows`);
  const y = into ?? zeros(dy.device, [rows, dy.columns], dy.dtype);
  const { width, count, elem, WG, grid } = perElement(dy.device, dy.size, dy.columns);
  dy.device.run(shader, "scatter", {
    bind: { x: dy, index, y },
    params: { count, cols: dy.columns / width },
    constants: { elem, WG, ACCUMULATE: into !== undefined, ...storedAs("scatterRows", elem, [dy, y]) },
    grid,
  });
  return y;
}

function checkIndex(where: string, index: Tensor): void {
  if (index.dtype !== "u32" && index.dtype !== "i32")
    fail(where, `the index is ${index.dtype}, expected u32 or i32`);
}
