import * as ops from "../autograd/ops.ts";
import type { RmsNormOptions } from "../kernels/rms-norm.ts";
import type { Module } from "./module.ts";
import type { Weights } from "./weights.ts";

/** RMSNorm over the last axis, of `size` features. */
export function rmsNorm(weights: Weights, size: number, options: RmsNormOptions): Module {
  const weight = weights.tensor("weight", [size], {
    storage: "f32",
    init: options.offset ? "zeros" : "ones",
  });
  return {
    path: weights.path,
    children: [],
    forward: (x, { tape }) => ops.rmsNorm(tape, x, weight, options),
  };
}
