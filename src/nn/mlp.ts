import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import type { InputNorm } from "../kernels/matmul.ts";
import { linear, linearSiblings } from "./linear.ts";
import {
  type Context,
  call,
  callAll,
  isAnyWrapped,
  type Module,
  type Siblings,
  tensorsOf,
} from "./module.ts";
import type { Norm } from "./norm.ts";
import type { Weights } from "./weights.ts";

/** Sizes and options of a gated MLP. */
export interface MlpConfig {
  hiddenSize: number;
  intermediateSize: number;
  activation: Activation;
  bias: boolean;
  /** Gate and up come from one matrix `gate_up_proj`, in this order, instead of two. */
  fused: boolean;
}

/** down(act(gate x) · up x), Shazeer 2020, arXiv 2002.05202. */
export function gatedMlp(weights: Weights, config: MlpConfig): Module {
  const { hiddenSize, intermediateSize, activation, bias } = config;
  const inner = config.fused ? fusedProjection(weights, config) : separateProjections(weights, config);
  const gatedApart = (x: Tensor, context: Context) => {
    const [gate, up] = inner.project(x, context);
    return ops.gatedActivation(context.tape, gate, up, activation);
  };
  const gated = (x: Tensor, context: Context) => inner.gated?.(x, context) ?? gatedApart(x, context);
  const down = linear(weights.at("down_proj"), intermediateSize, hiddenSize, { bias });
  return {
    path: weights.path,
    children: [...inner.siblings.members, down],
    siblings: inner.siblings,
    forward: (x: Tensor, context: Context) => call(down, gated(x, context), context),
    ...(!bias && {
      addTo(x: Tensor, norm: Norm, context: Context) {
        const mixed =
          inner.gated?.(x, context, norm.onTheWay(context)) ?? gated(call(norm, x, context), context);
        ops.addLinear(x, mixed, tensorsOf(down, context).weight);
      },
    }),
  };
}

/** How gate and up `[B, T, intermediate]` come from x. */
interface Projection {
  siblings: Siblings;
  project(x: Tensor, context: Context): [gate: Tensor, up: Tensor];
  /** act(gate) · up at once, of the norm of x where one is given, where nobody wants to see the two. */
  gated?(x: Tensor, context: Context, norm?: InputNorm): Tensor | undefined;
}

function separateProjections(
  weights: Weights,
  { hiddenSize, intermediateSize, activation, bias }: MlpConfig,
): Projection {
  const gate = linear(weights.at("gate_proj"), hiddenSize, intermediateSize, { bias });
  const up = linear(weights.at("up_proj"), hiddenSize, intermediateSize, { bias });
  const siblings = linearSiblings([gate, up]);
  return {
    siblings,
    project: (x, context) => callAll(siblings, x, context) as [Tensor, Tensor],
    gated(x, context, norm) {
      if (context.tape || context.watch || bias || isAnyWrapped([gate, up], context)) return undefined;
      return ops.gatedLinears(
        x,
        [tensorsOf(gate, context).weight, tensorsOf(up, context).weight],
        activation,
        norm,
      );
    },
  };
}

function fusedProjection(weights: Weights, { hiddenSize, intermediateSize, bias }: MlpConfig): Projection {
  const both = linear(weights.at("gate_up_proj"), hiddenSize, 2 * intermediateSize, { bias });
  return {
    siblings: { members: [both] },
    project(x, context) {
      const y = call(both, x, context);
      const half = (start: number) => ops.sliceColumns(context.tape, y, start, start + intermediateSize);
      return [half(0), half(intermediateSize)];
    },
  };
}
