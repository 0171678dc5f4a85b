import shader from "../../shaders/columns.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { zeros } from "./elementwise.ts";
import { perElement } from "./launch.ts";
import { storedAs } from "./stored.ts";
import { commonWindows } from "./windows.ts";

/**
 * y = x[..., start : end]: one part of what a fused projection computes.
 * @param x `[..., cols]` f32
 * @returns `[..., end − start]`
 */
export function sliceColumns(x: Tensor, start: number, end: number): Tensor {
  checkRange(x.columns, start, end);
  const y = emptyLike(x, [...x.shape.slice(0, -1), end - start]);
  for (const { narrow, wide, params, constants, grid } of launches(y, x, start)) {
    const bind = { x: wide, y: narrow };
    x.device.run(shader, "slice", { bind, params, constants, grid });
  }
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
  const dx = into ?? zeros(dy.device, [...dy.shape.slice(0, -1), cols], dy.dtype);
  if (dx.rows !== dy.rows || dx.columns !== cols) {
    fail("sliceColumnsBackward", `into is [${dx.shape}], expected ${dy.rows} rows of ${cols}`);
  }
  for (const { narrow, wide, params, constants, grid } of launches(dy, dx, start)) {
    dy.device.run(shader, "backward", {
      bind: { dy: narrow, dx: wide },
      params,
      constants: { ...constants, ACCUMULATE: into !== undefined },
      grid,
    });
  }
  return dx;
}

/** A dispatch for each run of rows that the device can bind. */
function launches(narrow: Tensor, wide: Tensor, first: number) {
  const { device, rows, columns } = narrow;
  const unit = [columns, wide.columns, first].every((length) => length % 4 === 0) ? columns : 1;
  const part = (tensor: Tensor, start: number, end: number) =>
    tensor.reshape([rows, tensor.columns]).slice(start, end);
  const windows = commonWindows(
    rows,
    [narrow, wide].map(({ byteLength }) => byteLength / rows),
    device.bindingLimit,
  );
  return windows.map(({ start, end }) => {
    const { width, count, elem, WG, grid } = perElement(device, (end - start) * columns, unit);
    const lengths = { narrow: columns / width, wide: wide.columns / width, start: first / width };
    const parts = { narrow: part(narrow, start, end), wide: part(wide, start, end) };
    const constants = { elem, WG, ...storedAs("columns", elem, [narrow, wide]) };
    return { ...parts, params: { count, ...lengths }, constants, grid };
  });
}

function checkRange(cols: number, start: number, end: number): void {
  if (start >= 0 && start < end && end <= cols) return;
  fail("sliceColumns", `columns ${start} to ${end} of ${cols}`, "wanted a range inside the last axis");
}
