import shader from "../../shaders/columns.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { zeros } from "./elementwise.ts";
import { perElement } from "./launch.ts";

/**
 * y = x[..., start : end]: one part of what a fused projection computes.
 * @param x `[..., cols]` f32
 * @returns `[..., end − start]`
 */
export function sliceColumns(x: Tensor, start: number, end: number): Tensor {
  checkRange(x.columns, start, end);
  const y = empty(x.device, [...x.shape.slice(0, -1), end - start]);
  const { params, elem, grid } = launch(y, x.columns, start);
  x.device.run(shader, "slice", { bind: { x, y }, params, constants: { elem }, grid });
  return y;
}

/**
 * The backward pass of {@link sliceColumns}: dx[..., start : end] = dy, the other columns are zero.
 * @param dy `[..., end − start]` f32
 * @param cols columns of dx
 * @returns `[..., cols]`, or `into` with dy added to its columns
 */
export function sliceColumnsBackward(dy: Tensor, start: number, cols: number, into?: Tensor): Tensor {
  checkRange(cols, start, start + dy.columns);
  const dx = into ?? zeros(dy.device, [...dy.shape.slice(0, -1), cols]);
  if (dx.rows !== dy.rows || dx.columns !== cols) {
    fail("sliceColumnsBackward", `into is [${dx.shape}], expected ${dy.rows} rows of ${cols}`);
  }
  const { params, elem, grid } = launch(dy, cols, start);
  const constants = { elem, ACCUMULATE: into !== undefined };
  dy.device.run(shader, "backward", { bind: { dy, dx }, params, constants, grid });
  return dx;
}

/**
 * A copy of x whose rows are `cols` long: what lies between them is not written.
 * @param x `[..., columns]` f32, at most `cols` columns
 * @returns `[rows, cols]`
 */
export function spreadRows(x: Tensor, cols: number): Tensor {
  checkRange(cols, 0, x.columns);
  const wide = empty(x.device, [x.rows, cols]);
  const { params, elem, grid } = launch(x, cols, 0);
  x.device.run(shader, "backward", { bind: { dy: x, dx: wide }, params, constants: { elem }, grid });
  return wide;
}

function launch({ device, size, columns }: Tensor, wide: number, start: number) {
  const unit = [columns, wide, start].every((length) => length % 4 === 0) ? columns : 1;
  const { width, count, elem, grid } = perElement(device, size, unit);
  return {
    params: { count, narrow: columns / width, wide: wide / width, start: start / width },
    elem,
    grid,
  };
}

function checkRange(cols: number, start: number, end: number): void {
  if (start >= 0 && start < end && end <= cols) return;
  fail("sliceColumns", `columns ${start} to ${end} of ${cols}`, "wanted a range inside the last axis");
}
