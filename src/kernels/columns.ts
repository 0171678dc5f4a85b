import shader from "../../shaders/columns.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { zeros } from "./elementwise.ts";
import { perElement } from "./launch.ts";

/** Columns [start, end) of the last axis. */
export interface ColumnRange {
  start: number;
  end: number;
}

/**
 * y = x[..., start:end]: one part of a fused projection.
 * @param x `[..., cols]` f32
 * @returns `[..., end - start]`
 */
export function columns(x: Tensor, range: ColumnRange): Tensor {
  const { start, end } = range;
  if (!(start >= 0 && start < end && end <= x.columns)) {
    fail("columns", `[${start}, ${end}) is outside the last axis of [${x.shape}]`);
  }
  const y = empty(x.device, [...x.shape.slice(0, -1), end - start]);
  launch("forward", { x, y }, y, x.columns, range);
  return y;
}

/**
 * The backward pass of {@link columns}: dx[..., start:end] += dy, the other columns stay, or are 0 in a new tensor.
 * @param shape of x
 */
export function columnsBackward(
  dy: Tensor,
  range: ColumnRange,
  shape: readonly number[],
  into?: Tensor,
): Tensor {
  const dx = into ?? zeros(dy.device, shape);
  launch("backward", { dy, dx }, dy, dx.columns, range);
  return dx;
}

function launch(
  entry: string,
  bind: Readonly<Record<string, Tensor>>,
  narrow: Tensor,
  cols: number,
  { start, end }: ColumnRange,
): void {
  const fits = [start, end - start, cols].every((size) => size % 4 === 0);
  const { width, count, elem, grid } = perElement(narrow.device, narrow.size, fits ? 4 : 1);
  narrow.device.run(shader, entry, {
    bind,
    params: { count, width: (end - start) / width, cols: cols / width, start: start / width },
    constants: { elem },
    grid,
  });
}
