import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import type { Embedding } from "./embedding.ts";
import { type Leaf, type Module, type Siblings, tensorsOf } from "./module.ts";
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
  /** It gives the scores of the vocabulary: `all-linear` leaves it out. */
  readonly isOutput: boolean;
  /** The embedding whose matrix it computes with. */
  readonly tiedTo?: Embedding | undefined;
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
  return layerOf(weights.path, weight, b, { fanInFanOut, isOutput: false });
}

/** The layer that gives the scores of the vocabulary; where it is tied, it computes with the embedding's matrix. */
export function outputLayer(
  weights: Weights,
  words: Embedding,
  { tied, bias }: { tied: boolean; bias?: Tensor | undefined },
): Linear {
  const { weight: shared } = words.tensors;
  const weight = tied ? shared : weights.weight("weight", [shared.rows, shared.columns]);
  const place = { fanInFanOut: false, isOutput: true, ...(tied && { tiedTo: words }) };
  return layerOf(weights.path, weight, bias, place);
}

function layerOf(
  path: string,
  weight: Weight,
  bias: Tensor | undefined,
  place: Pick<Linear, "fanInFanOut" | "isOutput" | "tiedTo">,
): Linear {
  const layer: Linear = {
    kind: "linear",
    path,
    children: [],
    inFeatures: weight.columns,
    outFeatures: weight.rows,
    weight,
    bias,
    ...place,
    tensors: { weight, ...(bias && { bias }) },
    forward(x, context) {
      const { weight, bias } = tensorsOf(layer, context);
      return ops.linear(context.tape, x, weight, { bias });
    },
  };
  return layer;
}

/** Linear layers of one input. */
export function linearSiblings(members: readonly Linear[]): Siblings {
  return {
    members,
    together: (x, context) =>
      ops.linears(
        context.tape,
        x,
        members.map((member) => tensorsOf(member, context)),
      ),
    ofNorm: (x, norm, context) =>
      ops.linearsOfNorm(
        x,
        norm,
        members.map((member) => tensorsOf(member, context)),
      ),
  };
}

/** Whether an adapter for linear layers can wrap this module. */
export function isLinear(module: Module): module is Linear {
  return (module as Partial<Linear>).kind === "linear";
}
