import shader from "../../shaders/pooling.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";

/**
 * y[b] = mean of x[b, t] over the valid tokens.
 * @param x `[B, T, cols]` f32
 * @param lengths valid tokens of each right-padded sequence, u32 `[B]`; all are valid unless given
 * @returns `[B, cols]`
 */
export function meanPool(x: Tensor, lengths?: Tensor): Tensor {
  const [batch, tokens, cols] = checkShapes(x.shape, lengths);
  const y = empty(x.device, [batch, cols]);
  const { width, count, elem, WG, grid } = perElement(x.device, y.size, cols);
  x.device.run(shader, "forward", {
    bind: { x, lengths: lengths ?? x, y },
    params: { count, tokens, cols: cols / width, padded: lengths ? 1 : 0 },
    constants: { elem, WG },
    grid,
  });
  return y;
}

/**
 * dL/dx of {@link meanPool}, added to `into` where given.
 * @param dy `[B, cols]`
 * @param shape of x
 */
export function meanPoolBackward(
  dy: Tensor,
  shape: readonly number[],
  lengths?: Tensor,
  into?: Tensor,
): Tensor {
  const [, tokens, cols] = checkShapes(shape, lengths);
  const dx = into ?? empty(dy.device, shape);
  const { width, count, elem, WG, grid } = perElement(dy.device, dx.size, cols);
  dy.device.run(shader, "backward", {
    bind: { dy, lengths: lengths ?? dy, dx },
    params: { count, tokens, cols: cols / width, padded: lengths ? 1 : 0 },
    constants: { elem, WG, ACCUMULATE: into !== undefined },
    grid,
  });
  return dx;
}

function checkShapes(shape: readonly number[], lengths: Tensor | undefined): [number, number, number] {
  const [batch = 0, tokens = 0, cols = 0] = shape;
  if (shape.length !== 3) fail("meanPool", `x is [${shape}], expected [B, T, cols]`);
  if (lengths && (lengths.dtype !== "u32" || lengths.size !== batch)) {
    fail("meanPool", `lengths is ${lengths.dtype} [${lengths.shape}], expected u32 [${batch}]`);
  }
  return [batch, tokens, cols];
}
