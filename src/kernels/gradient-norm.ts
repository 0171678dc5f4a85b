import shader from "../../shaders/gradient-norm.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty, scoped, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { perElement, reductionSize } from "./launch.ts";
import { elementWindows } from "./windows.ts";

/** Partial sums of one dispatch. */
const MOST_GROUPS = 256;

/**
 * Norm of all gradients and the factor that brings it down to `maxNorm`, as PyTorch's `clip_grad_norm_`.
 * @param gradients one flat f32 tensor
 * @param maxNorm 0 for no clipping
 * @returns `[2]`: norm and clip factor; NaN and 0 where a gradient is NaN or infinite, so that {@link adamW} skips.
 */
export function gradientNorm(gradients: Tensor, maxNorm = 0): Tensor {
  const { device, size } = gradients;
  return scoped(device, () => {
    const windows = elementWindows(device, size);
    const largest = windows[0]?.end ?? 0;
    const sums = empty(device, [windows.length * groupsFor(device, largest)]);
    let groups = 0;
    for (const { start, end } of windows) {
      groups += partialSums(gradients.reshape([size]).slice(start, end), sums, groups);
    }
    const result = empty(device, [2]);
    device.run(shader, "final_sum", {
      bind: { partials: sums, result },
      params: { count: groups, max_norm: maxNorm, first: 0 },
      constants: { WG: reductionSize(device, groups) },
      grid: [1],
    });
    return result;
  });
}

const groupsFor = (device: Device, size: number) => Math.min(MOST_GROUPS, perElement(device, size).grid[0]);

/** Sums of squares of workgroups, from `first` on. @returns how many */
function partialSums(gradients: Tensor, sums: Tensor, first: number): number {
  const { device, size } = gradients;
  const { width, count, elem, WG } = perElement(device, size);
  const groups = groupsFor(device, size);
  const vectors: Specialization = width === 4 ? {} : { words: "u32", elem, SINGLE: true };
  device.run(shader, "partial", {
    bind: { gradients, sums },
    params: { count, max_norm: 0, first },
    constants: { WG: device.profile.sharesWork ? reductionSize(device, count / groups) : WG, ...vectors },
    grid: [groups],
  });
  return groups;
}
