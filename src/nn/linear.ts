import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import { type Leaf, type Module, tensorsOf } from "./module.ts";
import type { Weights } from "./weights.ts";

/** y = x Wᵀ + b. The kind of module that LoRA adapts. */
export interface Linear extends Leaf {
  /** Tells it from other modules. */
  readonly kind: "linear";
  /** Columns of the weight. */
  readonly inFeatures: number;
  /** Rows of the weight. */
  readonly outFeatures: number;
  /** `[out, in]` */
  readonly weight: Weight;
  /** `[out]` f32 */
  readonly bias: Tensor | undefined;
  /** The checkpoint stores the weight as `[in, out]` (`Conv1D` in transformers). */
  readonly fanInFanOut: boolean;
  /** Weight and bias again, as every leaf has them. */
  readonly tensors: { readonly weight: Weight; readonly bias?: Tensor };
}

/** Options of {@link linear}. */
export interface LinearLayerOptions {
  bias?: boolean;
  /** The checkpoint stores the weight as `[in, out]`. */
  fanInFanOut?: boolean;
  /** Part of a task's head, which a checkpoint of another task lacks. */
  fresh?: boolean;
}

/** A linear layer from `weights.weight` and, where asked for, `weights.bias`. */
export function linear(
  weights: Weights,
  inFeatures: number,
  outFeatures: number,
  { bias = false, fanInFanOut = false, fresh = false }: LinearLayerOptions = {},
): Linear {
  const weight = weights.weight("weight", [outFeatures, inFeatures], {
    linear: true,
    transposed: fanInFanOut,
    fresh,
  });
  const b = bias
    ? weights.tensor("bias", [outFeatures], { storage: "f32", init: "zeros", fresh })
    : undefined;
  const layer: Linear = {
    kind: "linear",
    path: weights.path,
    children: [],
    inFeatures,
    outFeatures,
    weight,
    bias: b,
    fanInFanOut,
    tensors: { weight, ...(b && { bias: b }) },
    forward(x, context) {
      const { weight, bias } = tensorsOf(layer, context);
      return ops.linear(context.tape, x, weight, { bias });
    },
  };
  return layer;
}

/** Whether an adapter for linear layers can wrap this module. */
export function isLinear(module: Module): module is Linear {
  return (module as Partial<Linear>).kind === "linear";
}
