import type { Tensor } from "../gpu/tensor.ts";
import type { PackedGate } from "../kernels/packed-gate.ts";
import type { RoutingOptions } from "../kernels/routing.ts";
import type { Context, Leaf, Module } from "./module.ts";
import type { Weights } from "./weights.ts";

// What all models know of layers of experts; the layers themselves (experts.ts) are loaded with a model that has some.

/** What a layer of experts is beside its sizes. */
export interface ExpertsConfig extends RoutingOptions {
  /** How many experts a layer has. */
  count: number;
  /** Columns between the two products of an expert. */
  intermediateSize: number;
  gate: PackedGate;
  /** Router and experts have biases. */
  bias: boolean;
  /** The checkpoint stores the experts' matrices as `[in, out]`. */
  transposed: boolean;
  /** What the router is called: `router` or `gate`. */
  routerName: string;
}

/** Makes a mixture of experts in place of an MLP. */
export type MakeMixture = (weights: Weights, hiddenSize: number, config: ExpertsConfig) => Module;

/** All experts of a layer. */
export interface Experts extends Leaf {
  /** Tells it from other modules. */
  readonly kind: "experts";
  /** How many there are: matrices lie one below the other. */
  readonly count: number;
  /** The checkpoint stores their matrices as `[in, out]`. */
  readonly fanInFanOut: boolean;
  /** Each token's result. @param logits `[T, E]`, which choose */
  mix(x: Tensor, logits: Tensor, context: Context): Tensor;
}

/** Whether a module holds the experts of a layer. */
export function isExperts(module: Module): module is Experts {
  return (module as Partial<Experts>).kind === "experts";
}
