import * as ops from "../autograd/ops.ts";
import type { Tape } from "../autograd/tape.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { LayerNormOptions } from "../kernels/layer-norm.ts";
import type { InputNorm } from "../kernels/matmul.ts";
import type { RmsNormOptions } from "../kernels/rms-norm.ts";
import { type Context, type Leaf, type Module, tensorsOf } from "./module.ts";
import type { Weights } from "./weights.ts";

/** A norm that can take the residual connection before it into its own pass. */
export interface Norm extends Leaf {
  /** `[size]` f32 */
  readonly tensors: { readonly weight: Tensor };
  /** sum = x + branch, and the norm of the sum. */
  ofSum(x: Tensor, branch: Tensor, context: Context): { sum: Tensor; y: Tensor };
  /** What a product needs to compute it on the way. */
  onTheWay(context: Context): InputNorm;
}

/** Whether a module is a norm with a fused sum, and no adapter of the pass wants to see its input. */
export function takesSum(module: Module | undefined, { adapters }: Context): module is Norm {
  return module !== undefined && "ofSum" in module && !adapters?.wraps.has(module);
}

/** RMSNorm over the last axis, of `size` features. */
export function rmsNorm(weights: Weights, size: number, options: RmsNormOptions): Norm {
  const weight = weights.tensor("weight", [size], {
    storage: "f32",
    init: options.offset ? "zeros" : "ones",
  });
  const norm: Norm = {
    path: weights.path,
    children: [],
    tensors: { weight },
    forward: (x, context) => ops.rmsNorm(context.tape, x, tensorsOf(norm, context).weight, options),
    ofSum: (x, branch, context) =>
      ops.rmsNormOfSum(context.tape, x, branch, tensorsOf(norm, context).weight, options),
    onTheWay: (context) => ({ ...options, weight: tensorsOf(norm, context).weight }),
  };
  return norm;
}

/** LayerNorm over the last axis, of `size` features, with weight and bias. */
export function layerNorm(
  weights: Weights,
  size: number,
  { fresh = false, ...options }: LayerNormOptions & { fresh?: boolean },
): Leaf {
  const weight = weights.tensor("weight", [size], { storage: "f32", init: "ones", fresh });
  const bias = weights.tensor("bias", [size], { storage: "f32", init: "zeros", fresh });
  const norm = {
    path: weights.path,
    children: [],
    tensors: { weight, bias },
    forward: (x: Tensor, context: Context): Tensor =>
      ops.layerNorm(context.tape, x, tensorsOf(norm, context), options),
  };
  return norm;
}

/** x / ‖x‖, row by row: RMSNorm with the weight 1/√cols, since ‖x‖ = √cols · √mean(x²). A row of zeros stays. */
export function unitLength(tape: Tape | undefined, x: Tensor): Tensor {
  const weight = new Float32Array(x.columns).fill(1 / Math.sqrt(x.columns));
  return ops.rmsNorm(tape, x, fromArray(x.device, weight, [x.columns]), { eps: 1e-24 });
}
