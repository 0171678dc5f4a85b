import shader from "../../shaders/gradient-norm.wgsl";
import { empty, scoped, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { perElement, reductionSize } from "./launch.ts";

/**
 * Norm of all gradients and the factor that brings it down to `maxNorm`, as PyTorch's `clip_grad_norm_`.
 * @param gradients one flat f32 tensor
 * @param maxNorm 0 for no clipping
 * @returns `[2]`: norm and clip factor; NaN and 0 where a gradient is NaN or infinite, so that {@link adamW} skips.
 */
export function gradientNorm(gradients: Tensor, maxNorm = 0): Tensor {
  const { device, size } = gradients;
  return scoped(device, () => {
    const { width, count, elem, grid } = perElement(device, size);
    const groups = Math.min(256, grid[0]);
    const sums = empty(device, [groups]);
    const constants = { WG: reductionSize(device, count / groups) };
    const vectors: Specialization = width === 4 ? {} : { words: "u32", elem, SINGLE: true };
    device.run(shader, "partial", {
      bind: { gradients, sums },
      params: { count, max_norm: maxNorm },
      constants: { ...constants, ...vectors },
      grid: [groups],
    });
    const result = empty(device, [2]);
    device.run(shader, "final_sum", {
      bind: { partials: sums, result },
      params: { count: groups, max_norm: maxNorm },
      constants,
      grid: [1],
    });
    return result;
  });
}
