import shader from "../../shaders/column-scale.wgsl";
import { empty, emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { rowWidth, runElements } from "./launch.ts";
import { storedAs } from "./stored.ts";
import { rowWindows } from "./windows.ts";

/** Beside the factors of {@link columnScale}. */
export interface ColumnScaleOptions {
  /** `[columns]`: multiplies them, and gets no gradient. */
  fixed?: Tensor | undefined;
  /** Added to. */
  into?: Tensor | undefined;
}

/**
 * y[..., c] = x[..., c] · scale[c] · fixed[c]. f32. With dy for x it is the gradient of x, too.
 * @param scale of any shape with as many elements as x has columns
 */
export function columnScale(x: Tensor, scale: Tensor, { fixed, into }: ColumnScaleOptions = {}): Tensor {
  checkColumns("columnScale", x, scale, fixed);
  const y = into ?? emptyLike(x);
  if (y.size !== x.size) fail("columnScale", `[${x.shape}] and [${y.shape}] differ in size`);
  runElements(x.device, shader, "column_scale", {
    bind: { x, y },
    whole: { scale, fixed: fixed ?? scale },
    unit: x.columns,
    params: ({ count, width }) => ({ count, rows: 0, cols: x.columns / width }),
    constants: { FIXED: fixed !== undefined, ACCUMULATE: into !== undefined },
  });
  return y;
}

/** y[r, c] = x[r, c] · scale[r]. f32. @param scale with as many elements as x has rows */
export function rowScale(x: Tensor, scale: Tensor): Tensor {
  if (scale.size !== x.rows)
    fail("rowScale", `the scale has ${scale.size} elements, expected ${x.rows} (rows of [${x.shape}])`);
  const y = emptyLike(x);
  const { columns } = x;
  runElements(x.device, shader, "row_scale", {
    bind: { x, y },
    whole: { values: scale },
    unit: columns,
    params: ({ count, width }, start) => ({ count, rows: start / columns, cols: columns / width }),
  });
  return y;
}

/** What {@link columnScale} was given. */
export interface ScaledColumns extends Pick<ColumnScaleOptions, "fixed"> {
  x: Tensor;
  scale: Tensor;
}

/**
 * dx[..., c] = dy[..., c] · scale[c] · fixed[c] and dscale[c] = fixed[c] · Σ over rows of dy[..., c] · x[..., c], `[columns]`,
 * in one pass. f32.
 * @param into what dscale is added to
 */
export function columnScaleBackward(
  dy: Tensor,
  { x, scale, fixed }: ScaledColumns,
  into?: Tensor,
): { dx: Tensor; dscale: Tensor } {
  if (dy.size !== x.size || dy.columns !== x.columns)
    fail("columnScaleBackward", `dy [${dy.shape}] and x [${x.shape}] differ`);
  checkColumns("columnScaleBackward", x, scale, fixed, into);
  const { device, columns } = dy;
  const { width, elem } = rowWidth(columns);
  // A barrier costs a CPU rasteriser more than the sums of all rows.
  const [LANES, LINES] = device.profile.sharesWork ? [32, 8] : [8, 1];
  const dx = emptyLike(x);
  const dscale = into ?? empty(device, [columns]);
  const [dys, xs, dxs] = [dy, x, dx].map((each) => each.reshape([dy.rows, columns])) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  for (const { start, end } of rowWindows(dys)) {
    device.run(shader, "backward", {
      bind: {
        ...{ dy: dys.slice(start, end), x: xs.slice(start, end), y: dxs.slice(start, end) },
        ...{ scale, fixed: fixed ?? scale, dscale },
      },
      params: { count: 0, rows: end - start, cols: columns / width },
      constants: {
        elem,
        LANES,
        LINES,
        FIXED: fixed !== undefined,
        ACCUMULATE: into !== undefined || start > 0,
        ...storedAs("columnScaleBackward", elem, [dy, x]),
      },
      grid: [Math.ceil(columns / (width * LANES))],
    });
  }
  return { dx, dscale };
}

function checkColumns(where: string, x: Tensor, ...factors: readonly (Tensor | undefined)[]): void {
  for (const factor of factors) {
    if (factor && factor.size !== x.columns)
      fail(where, `the scale has ${factor.size} elements, expected ${x.columns} (last axis of [${x.shape}])`);
  }
}
