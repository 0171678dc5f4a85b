import shader from "../../shaders/patches.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";

/**
 * An image as a sequence of square patches, row by row: a convolution whose stride is its kernel size is a linear
 * layer on the result.
 * @param x `[B, C, H, W]` f32
 * @param patch side of a patch; divides H and W
 * @returns `[B, (H/patch)(W/patch), C·patch·patch]`, each patch in the order of a convolution's weight
 */
export function patches(x: Tensor, patch: number): Tensor {
  const { shape, params } = geometry(x.shape, patch);
  const y = empty(x.device, shape);
  const { WG, grid } = perElement(x.device, x.size, 1);
  x.device.run(shader, "forward", { bind: { x, y }, params, constants: { WG }, grid });
  return y;
}

/**
 * dL/dx of {@link patches}, added to `into` where given.
 * @param shape of x
 */
export function patchesBackward(dy: Tensor, shape: readonly number[], patch: number, into?: Tensor): Tensor {
  const { params } = geometry(shape, patch);
  const dx = into ?? empty(dy.device, shape);
  const { WG, grid } = perElement(dy.device, dx.size, 1);
  const constants = { WG, ACCUMULATE: into !== undefined };
  dy.device.run(shader, "backward", { bind: { dy, dx }, params, constants, grid });
  return dx;
}

function geometry(image: readonly number[], patch: number) {
  const [batch = 0, channels = 0, height = 0, width = 0] = image;
  if (image.length !== 4 || height % patch !== 0 || width % patch !== 0) {
    fail(
      "patches",
      `[${image}] cannot be cut into patches of ${patch}`,
      "wanted [B, C, H, W] of whole patches",
    );
  }
  const count = batch * channels * height * width;
  const shape = [batch, (height / patch) * (width / patch), channels * patch * patch];
  return { shape, params: { count, channels, height, width, side: patch } };
}
