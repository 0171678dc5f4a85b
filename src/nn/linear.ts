import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Context, Module } from "./module.ts";
import type { Weights } from "./weights.ts";

/** y = x Wᵀ + b. The kind of module that LoRA adapts. */
export interface Linear extends Module {
  readonly kind: "linear";
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** `[out, in]`, f32 or words */
  readonly weight: Tensor;
  /** `[out]` f32 */
  readonly bias: Tensor | undefined;
}

/** A linear layer from `weights.weight` and, where asked for, `weights.bias`. */
export function linear(
  weights: Weights,
  inFeatures: number,
  outFeatures: number,
  { bias = false } = {},
): Linear {
  const weight = weights.tensor("weight", [outFeatures, inFeatures], { init: "normal" });
  const b = bias ? weights.tensor("bias", [outFeatures], { storage: "f32", init: "zeros" }) : undefined;
  return {
    kind: "linear",
    path: weights.path,
    children: [],
    inFeatures,
    outFeatures,
    weight,
    bias: b,
    forward: (x: Tensor, { tape }: Context) => ops.linear(tape, x, weight, { bias: b }),
  };
}

/** Whether an adapter for linear layers can wrap this module. */
export function isLinear(module: Module): module is Linear {
  return (module as Partial<Linear>).kind === "linear";
}
