import shader from "../../shaders/column-scale.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { runElements } from "./launch.ts";
import { rowWindows } from "./windows.ts";

/**
 * y[..., c] = x[..., c] · scale[c], added to `into` where given. f32. With dy for x it is the gradient of x, too.
 * @param scale of any shape with as many elements as x has columns
 */
export function columnScale(x: Tensor, scale: Tensor, into?: Tensor): Tensor {
  checkColumns("columnScale", x, scale);
  const y = into ?? empty(x.device, x.shape);
  if (y.size !== x.size) fail("columnScale", `[${x.shape}] and [${y.shape}] differ in size`);
  runElements(x.device, shader, "column_scale", {
    bind: { x, y },
    whole: { scale },
    unit: x.columns,
    params: ({ count, width }) => ({ count, rows: 0, cols: x.columns / width }),
    constants: { ACCUMULATE: into !== undefined },
  });
  return y;
}

/** y[r, c] = x[r, c] · scale[r]. f32. @param scale with as many elements as x has rows */
export function rowScale(x: Tensor, scale: Tensor): Tensor {
  if (scale.size !== x.rows)
    fail("rowScale", `the scale has ${scale.size} elements, expected ${x.rows} (rows of [${x.shape}])`);
  const y = empty(x.device, x.shape);
  const { columns } = x;
  runElements(x.device, shader, "row_scale", {
    bind: { x, y },
    whole: { values: scale },
    unit: columns,
    params: ({ count, width }, start) => ({ count, rows: start / columns, cols: columns / width }),
  });
  return y;
}

/** dscale[c] = Σ over rows of dy[..., c] · x[..., c], `[columns]`, added to `into` where given. f32. */
export function columnScaleGradient(dy: Tensor, x: Tensor, into?: Tensor): Tensor {
  if (dy.size !== x.size || dy.columns !== x.columns)
    fail("columnScaleGradient", `dy [${dy.shape}] and x [${x.shape}] differ`);
  if (into) checkColumns("columnScaleGradient", dy, into);
  const { device, columns } = dy;
  const dscale = into ?? empty(device, [columns]);
  const lines = dy.reshape([dy.rows, columns]);
  const values = x.reshape([dy.rows, columns]);
  for (const { start, end } of rowWindows(lines)) {
    device.run(shader, "column_scale_gradient", {
      bind: { values: values.slice(start, end), dy: lines.slice(start, end), dscale },
      params: { count: 0, rows: end - start, cols: columns },
      constants: { ACCUMULATE: into !== undefined || start > 0 },
      grid: [Math.ceil(columns / 32)],
    });
  }
  return dscale;
}

function checkColumns(where: string, x: Tensor, scale: Tensor): void {
  if (scale.size !== x.columns)
    fail(where, `the scale has ${scale.size} elements, expected ${x.columns} (last axis of [${x.shape}])`);
}
