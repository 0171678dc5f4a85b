import shader from "../../shaders/sampling.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { foldGrid } from "./grid.ts";
import { reductionSize } from "./launch.ts";

/**
 * Index of the largest value of each row; of equal ones the lowest, as torch.argmax. A row in which a value is NaN or
 * +∞, or all are −∞, has none: its index is −1 where it is read as an integer with a sign.
 * @param x `[..., cols]` f32
 * @returns `[rows]` u32, in `into` where it is given
 */
export function argmax(x: Tensor, into?: Tensor): Tensor {
  const index = into ?? empty(x.device, [x.rows], "u32");
  x.device.run(shader, "argmax", {
    bind: { x, index },
    params: { rows: x.rows, cols: x.columns },
    constants: { WG: reductionSize(x.device, x.columns) },
    grid: foldGrid(x.rows),
  });
  return index;
}
