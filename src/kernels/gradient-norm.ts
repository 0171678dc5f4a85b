import shader from "../../shaders/gradient-norm.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty, scoped, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import { perElement, reductionSize } from "./launch.ts";
import { elementWindows } from "./windows.ts";

/** Partial sums of one dispatch. */
const MOST_GROUPS = 256;

/**
 * Norm of all gradients and the factor that brings it down to `maxNorm`, as PyTorch's `clip_grad_norm_`.
 * @param gradients one flat f32 tensor
 * @param maxNorm 0 for no clipping
 * @returns `[2]`: norm and clip factor; NaN and 0 where a gradient is NaN or infinite
 */
export function gradientNorm(gradients: Tensor, maxNorm = 0): Tensor {
  const { device } = gradients;
  return scoped(device, () => {
    const { partials, count } = sumSquares(gradients, { factor: 1, changing: false });
    const result = empty(device, [2]);
    device.run(shader, "final_sum", {
      bind: { partials, result },
      params: { count, max_norm: maxNorm, factor: 1, first: 0 },
      constants: { WG: reductionSize(device, count) },
      grid: [1],
    });
    return result;
  });
}

/** An optimiser step before its update. */
export interface StepSums {
  /** Flat, f32: of the summed loss. */
  gradients: Tensor;
  /** `[1]`: the sum. */
  loss: Tensor;
  /** Terms of that sum, times the factor that the gradients have beside it. */
  terms: number;
  /** Most that the norm of the mean's gradient may be; 0 for no clipping. */
  maxNorm: number;
}

/**
 * What an optimiser makes of the sums of a step: the norm of the gradient of the mean, and the factor by which the summed
 * gradient is multiplied, 1 / terms times that of the clipping.
 *
 * The factor is 0, which changes nothing, where the loss or a gradient is NaN or infinite, and **stays** 0 in the steps
 * that were recorded after such a one, until the host writes another number into the outcome.
 * @param outcome `[2]`: norm and factor, of the step before and then of this one; another factor than 0 before the first
 */
export function judgeStep({ gradients, loss, terms, maxNorm }: StepSums, outcome: Tensor): void {
  const { device } = gradients;
  if (!(terms > 0)) fail("judgeStep", `the step has ${terms} terms`);
  scoped(device, () => {
    const factor = 1 / terms;
    const { partials, count } = sumSquares(gradients, { factor, changing: true });
    device.run(shader, "judge", {
      bind: { partials, result: outcome, loss },
      params: { count, max_norm: maxNorm, factor, first: 0 },
      constants: { WG: reductionSize(device, count) },
      grid: [1],
      changing: true, // the terms of a step
    });
    return undefined;
  });
}

interface SquareOptions {
  /** Of every gradient. */
  factor: number;
  /** It is another in each step. */
  changing: boolean;
}

/** Sums of squares of parts of the gradients. */
function sumSquares(gradients: Tensor, options: SquareOptions): { partials: Tensor; count: number } {
  const { device, size } = gradients;
  const windows = elementWindows(device, size);
  const largest = windows[0]?.end ?? 0;
  const partials = empty(device, [windows.length * groupsFor(device, largest)]);
  let count = 0;
  for (const { start, end } of windows) {
    count += partialSums(gradients.reshape([size]).slice(start, end), partials, { ...options, first: count });
  }
  return { partials, count };
}

const groupsFor = (device: Device, size: number) => Math.min(MOST_GROUPS, perElement(device, size).grid[0]);

/** Sums of squares of workgroups, from `first` on. @returns how many */
function partialSums(
  gradients: Tensor,
  sums: Tensor,
  { first, factor, changing }: SquareOptions & { first: number },
): number {
  const { device, size } = gradients;
  const { width, count, elem, WG } = perElement(device, size);
  const groups = groupsFor(device, size);
  const vectors: Specialization = width === 4 ? {} : { words: "u32", elem, SINGLE: true };
  device.run(shader, "partial", {
    bind: { gradients, sums },
    params: { count, max_norm: 0, factor, first },
    constants: { WG: device.profile.sharesWork ? reductionSize(device, count / groups) : WG, ...vectors },
    grid: [groups],
    changing,
  });
  return groups;
}
