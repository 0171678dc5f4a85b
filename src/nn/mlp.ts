import * as ops from "../autograd/ops.ts";
import type { Activation } from "../kernels/activation.ts";
import { linear } from "./linear.ts";
import { call, type Module } from "./module.ts";
import type { Weights } from "./weights.ts";

/** Sizes and options of a gated MLP. */
export interface MlpConfig {
  hiddenSize: number;
  intermediateSize: number;
  activation: Activation;
  bias: boolean;
}

/** down(act(gate x) · up x), Shazeer 2020, arXiv 2002.05202. */
export function gatedMlp(
  weights: Weights,
  { hiddenSize, intermediateSize, activation, bias }: MlpConfig,
): Module {
  const gate = linear(weights.at("gate_proj"), hiddenSize, intermediateSize, { bias });
  const up = linear(weights.at("up_proj"), hiddenSize, intermediateSize, { bias });
  const down = linear(weights.at("down_proj"), intermediateSize, hiddenSize, { bias });
  return {
    path: weights.path,
    children: [gate, up, down],
    forward(x, context) {
      const hidden = ops.gatedActivation(
        context.tape,
        call(gate, x, context),
        call(up, x, context),
        activation,
      );
      return call(down, hidden, context);
    },
  };
}
