import type { Tensor } from "../gpu/tensor.ts";
import {
  mixExpertsBackward,
  mixExperts as mixExpertsKernel,
  mixWeightsBackward,
  sumChoices,
} from "../kernels/expert-mix.ts";
import { type Grouping, groupChoices, groupedMatmul } from "../kernels/grouped-matmul.ts";
import {
  type PackedGate,
  packedGateBackward,
  packedGate as packedGateKernel,
} from "../kernels/packed-gate.ts";
import { type Routes, type RoutingOptions, routeBackward, route as routeKernel } from "../kernels/routing.ts";
import { partsOf, type Weight } from "../kernels/weight.ts";
import { fail } from "../util/fail.ts";
import { passOn, type Tape } from "./tape.ts";

// Ops of layers of experts: a token goes through some of many matrices, which its own logits choose.

/**
 * Which experts tokens go through, and their shares `[T, K]`. Saves the logits, which experts these are and their shares.
 * @param logits `[T, E]`
 */
export function route(tape: Tape | undefined, logits: Tensor, options: RoutingOptions): Routes {
  const routes = routeKernel(logits, options);
  const { weights, experts } = routes;
  tape?.record(weights, [logits], [logits, weights, experts], (dweights, give) => {
    give(logits, (into) => passOn(routeBackward(dweights, { ...options, logits, weights, experts }), into));
  });
  return routes;
}

/** The choices of tokens u32 `[T, K]`, ready for {@link groupedLinear}; `sorts` where its backward pass will run. */
export function group(tape: Tape | undefined, experts: Tensor, count: number): Grouping {
  return groupChoices(experts, count, tape ? true : undefined);
}

/** The matrices of frozen experts, `[E · out, in]`, and their biases `[E, out]`. */
export interface GroupedLayer {
  weight: Weight;
  bias: Tensor | undefined;
}

/**
 * y[r] = x[⌊r / p⌋] W_eᵀ + b_e for each choice r of an expert e. Saves the weight and how choices are sorted.
 * @param x `[N / p, in]`
 * @throws LoraError where a gradient of the weight is asked for
 */
export function groupedLinear(
  tape: Tape | undefined,
  x: Tensor,
  { weight, bias }: GroupedLayer,
  grouping: Grouping,
): Tensor {
  if (tape && [weight.words, bias].some((tensor) => tensor && tape.tracks(tensor)))
    fail("experts", "weights of experts get no gradient here", "leave their module out of what is trained");
  const y = groupedMatmul(x, weight, grouping, { layout: "NT", bias });
  const { experts, sorted } = grouping;
  const per = experts.size / x.rows;
  return (
    tape?.record(y, [x], [...partsOf(weight), ...(sorted ? [sorted] : []), experts], (dy, give) => {
      give(x, (into) => {
        const dx = groupedMatmul(dy, weight, grouping, { layout: "NN" });
        return per > 1 ? sumChoices(dx, per, into).reshape(x.shape) : passOn(dx, into);
      });
    }) ?? y
  );
}

/** act(gate) · up of rows that hold both. Saves x. @param x `[..., 2n]` */
export function packedGate(tape: Tape | undefined, x: Tensor, gate: PackedGate): Tensor {
  const y = packedGateKernel(x, gate);
  return (
    tape?.record(y, [x], { coarse: [x] }, (dy, give) => {
      give(x, (into) => passOn(packedGateBackward(dy, x, gate), into));
    }) ?? y
  );
}

/** y[t] = Σ weights[t, k] · x[t, k]. Saves the weights, and x where they need a gradient. @param x `[T · K, d]` */
export function mixExperts(tape: Tape | undefined, x: Tensor, weights: Tensor): Tensor {
  const y = mixExpertsKernel(x, weights);
  const coarse = tape?.tracks(weights) ? [x] : [];
  return (
    tape?.record(y, [x, weights], { exact: [weights], coarse }, (dy, give) => {
      give(x, (into) => passOn(mixExpertsBackward(dy, weights), into));
      give(weights, (into) => passOn(mixWeightsBackward(dy, x), into));
    }) ?? y
  );
}
