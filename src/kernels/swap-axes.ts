import shader from "../../shaders/swap-axes.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";
import { storedAs } from "./stored.ts";
import { elementWindows } from "./windows.ts";

/** x as `[n, rows, cols, unit]`, n being what is left of its elements. */
export interface SwappedAxes {
  readonly rows: number;
  readonly cols: number;
  /** Elements that stay together; 1 unless given. */
  readonly unit?: number;
}

/**
 * y[n, c, r, u] = x[n, r, c, u], in x's shape, added to `into` where given. f32. With rows and cols exchanged it is its own inverse
 * and its own backward pass.
 */
export function swapAxes(x: Tensor, { rows, cols, unit = 1 }: SwappedAxes, into?: Tensor): Tensor {
  const block = rows * cols * unit;
  if (x.size % block !== 0)
    fail("swapAxes", `[${x.shape}] does not consist of blocks of ${rows}×${cols}×${unit}`);
  const y = into ?? emptyLike(x);
  if (y.size !== x.size) fail("swapAxes", `[${x.shape}] and [${y.shape}] differ in size`);
  const flat = (tensor: Tensor) => tensor.reshape([tensor.size]);
  for (const { start, end } of elementWindows(x.device, x.size, block)) {
    const { width, count, elem, WG, grid } = perElement(x.device, end - start, unit);
    x.device.run(shader, "swap_axes", {
      bind: { x: flat(x).slice(start, end), y: flat(y).slice(start, end) },
      params: { count, rows, cols, unit: unit / width },
      constants: { elem, WG, ACCUMULATE: into !== undefined, ...storedAs("swapAxes", elem, [x, y]) },
      grid,
    });
  }
  return y;
}
