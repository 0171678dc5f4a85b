import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { RmsNormOptions } from "../kernels/rms-norm.ts";
import type { Context, Module } from "./module.ts";
import type { Weights } from "./weights.ts";

/** A norm that can take the residual connection before it into its own pass. */
export interface Norm extends Module {
  /** sum = x + branch, and the norm of the sum. */
  ofSum(x: Tensor, branch: Tensor, context: Context): { sum: Tensor; y: Tensor };
}

/** Whether a module is a norm with a fused sum, and no adapter wants to see its input. */
export function takesSum(module: Module | undefined): module is Norm {
  return module !== undefined && !module.wrap && "ofSum" in module;
}

/** RMSNorm over the last axis, of `size` features. */
export function rmsNorm(weights: Weights, size: number, options: RmsNormOptions): Norm {
  const weight = weights.tensor("weight", [size], {
    storage: "f32",
    init: options.offset ? "zeros" : "ones",
  });
  return {
    path: weights.path,
    children: [],
    forward: (x, { tape }) => ops.rmsNorm(tape, x, weight, options),
    ofSum: (x, branch, { tape }) => ops.rmsNormOfSum(tape, x, branch, weight, options),
  };
}
