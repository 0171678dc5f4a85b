import * as ops from "../autograd/ops.ts";
import type { Tape } from "../autograd/tape.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { LayerNormOptions } from "../kernels/layer-norm.ts";
import type { RmsNormOptions } from "../kernels/rms-norm.ts";
import type { Context, Leaf, Module } from "./module.ts";
import type { Weights } from "./weights.ts";

/** A norm that can take the residual connection before it into its own pass. */
export interface Norm extends Leaf {
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
    tensors: { weight },
    forward: (x, { tape }) => ops.rmsNorm(tape, x, weight, options),
    forwardWith: ({ weight }, x, { tape }) => ops.rmsNorm(tape, x, weight as Tensor, options),
    ofSum: (x, branch, { tape }) => ops.rmsNormOfSum(tape, x, branch, weight, options),
  };
}

/** LayerNorm over the last axis, of `size` features, with weight and bias. */
export function layerNorm(
  weights: Weights,
  size: number,
  { fresh = false, ...options }: LayerNormOptions & { fresh?: boolean },
): Leaf {
  const weight = weights.tensor("weight", [size], { storage: "f32", init: "ones", fresh });
  const bias = weights.tensor("bias", [size], { storage: "f32", init: "zeros", fresh });
  return {
    path: weights.path,
    children: [],
    tensors: { weight, bias },
    forward: (x, { tape }) => ops.layerNorm(tape, x, { weight, bias }, options),
    forwardWith: (tensors, x, { tape }) =>
      ops.layerNorm(tape, x, tensors as { weight: Tensor; bias: Tensor }, options),
  };
}

/** x / ‖x‖, row by row: RMSNorm with the weight 1/√cols, since ‖x‖ = √cols · √mean(x²). A row of zeros stays. */
export function unitLength(tape: Tape | undefined, x: Tensor): Tensor {
  const weight = new Float32Array(x.columns).fill(1 / Math.sqrt(x.columns));
  return ops.rmsNorm(tape, x, fromArray(x.device, weight, [x.columns]), { eps: 1e-24 });
}
