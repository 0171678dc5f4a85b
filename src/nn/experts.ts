import * as ops from "../autograd/experts.ts";
import { linear } from "../autograd/linear.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import type { Experts, ExpertsConfig } from "./expert-layer.ts";
import { type Context, call, type Leaf, type Module, tensorsOf } from "./module.ts";
import type { Weights } from "./weights.ts";

/**
 * A mixture of experts in place of an MLP: each token goes through those that a router chooses for it. Shazeer et al. 2017,
 * arXiv 1701.06538.
 */
export function mixtureOfExperts(weights: Weights, hiddenSize: number, config: ExpertsConfig): Module {
  const router = routerOf(weights.at(config.routerName), hiddenSize, config);
  const experts = expertsOf(weights.at("experts"), hiddenSize, config);
  return {
    path: weights.path,
    children: [router, experts],
    forward(x, context) {
      const tokens = x.reshape([x.rows, x.columns]);
      const logits = call(router, tokens, context);
      return experts.mix(tokens, logits, context).reshape(x.shape);
    },
  };
}

/** x Wᵀ + b, one logit for each expert. No linear layer: PEFT, too, sees a module with a bare matrix here. */
function routerOf(weights: Weights, hiddenSize: number, { count, bias }: ExpertsConfig): Leaf {
  const weight = weights.weight("weight", [count, hiddenSize]);
  const own = bias ? weights.tensor("bias", [count], { storage: "f32", init: "zeros" }) : undefined;
  const router = {
    path: weights.path,
    children: [],
    tensors: { weight, ...(own && { bias: own }) } as { weight: Weight; bias?: Tensor },
    forward(x: Tensor, context: Context): Tensor {
      const { weight, bias } = tensorsOf(router, context) as typeof router.tensors;
      return linear(context.tape, x, weight, { bias });
    },
  };
  return router;
}

function expertsOf(weights: Weights, hiddenSize: number, config: ExpertsConfig): Experts {
  const { count, intermediateSize, bias, transposed, gate } = config;
  const matrix = (name: string, out: number, from: number) =>
    weights.weight(name, [count * out, from], { linear: true, stack: count, transposed });
  const biasOf = (name: string, out: number) =>
    bias && {
      [`${name}_bias`]: weights.tensor(`${name}_bias`, [count, out], { storage: "f32", init: "zeros" }),
    };
  const experts: Experts = {
    kind: "experts",
    path: weights.path,
    children: [],
    count,
    fanInFanOut: transposed,
    tensors: {
      gate_up_proj: matrix("gate_up_proj", 2 * intermediateSize, hiddenSize),
      ...biasOf("gate_up_proj", 2 * intermediateSize),
      down_proj: matrix("down_proj", hiddenSize, intermediateSize),
      ...biasOf("down_proj", hiddenSize),
    },
    forward: (x) => x, // it runs by `mix`, as it needs to know who chose what
    mix(x, logits, context) {
      const { tape } = context;
      const { gate_up_proj, down_proj, gate_up_proj_bias, down_proj_bias } = tensorsOf(experts, context);
      const first = { weight: gate_up_proj as Weight, bias: gate_up_proj_bias as Tensor | undefined };
      const second = { weight: down_proj as Weight, bias: down_proj_bias as Tensor | undefined };
      const routes = ops.route(tape, logits, config);
      const grouping = ops.group(tape, routes.experts, count);
      const inner = ops.packedGate(tape, ops.groupedLinear(tape, x, first, grouping), gate);
      const y = ops.mixExperts(tape, ops.groupedLinear(tape, inner, second, grouping), routes.weights);
      context.watch?.(experts, y);
      return y;
    },
  };
  return experts;
}
