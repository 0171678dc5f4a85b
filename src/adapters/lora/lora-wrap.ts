import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { addInto } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import { rowSquares } from "../../kernels/row-norms.ts";
import type { Weight } from "../../kernels/weight.ts";
import type { Linear } from "../../nn/linear.ts";
import { type Context, call, type JointWrap, type Siblings, tensorsOf, type Wrap } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import type { Site, WrapGiven } from "../method.ts";
import { siteSeed } from "../sites/site-seed.ts";
import { doraBehind, doraLayer, doraMerged, doraScaling } from "./dora.ts";

// What LoRA computes at linear layers.

/** What takes the place of a layer's own tensors. */
type Copies = Readonly<Record<string, Weight>>;

/** How an update acts. */
interface Update {
  readonly scale: number;
  readonly useDora: boolean;
}

/** The site's tensors, of which lora_A and lora_B are never missing. */
function factorsOf({ module, tensors: { lora_A, lora_B } }: Site): { A: Tensor; B: Tensor } {
  if (!lora_A || !lora_B) return fail(module.path, "lora_A or lora_B is missing");
  return { A: lora_A, B: lora_B };
}

/** What a pass computes with at a site: the layer's own tensors, or trained copies of them, and the adapter's. */
function layerOf(adapted: Site, context: Context, useDora: boolean) {
  const site = adapted.module as Linear;
  const { weight, bias } = tensorsOf(site, context);
  const hasOther = useDora && weight !== site.weight; // whose norms are not those that are known
  const squares = hasOther && { weight_squares: rowSquares(castToFloat(weight)) };
  const { A, B } = factorsOf(adapted);
  return {
    weight,
    bias,
    A,
    B,
    tensors: squares ? { ...adapted.tensors, ...squares } : adapted.tensors,
  };
}

/** The layer's bias and s times that of lora_B, `[out]`; undefined where there is neither. */
function biasWith(
  tape: Tape | undefined,
  bias: Tensor | undefined,
  { tensors: { lora_bias: own } }: Site,
  scale: number,
): Tensor | undefined {
  if (!own) return bias;
  return bias ? ops.add(tape, bias, own, scale) : ops.scale(tape, own, scale);
}

/** Computes the layer and its branch in one kernel; behind other adapters, adds the branch to what they give. */
export function loraWrap(
  adapted: Site,
  { index, factor }: WrapGiven,
  { scale: ownScale, dropout, useDora }: Update & { readonly dropout: number },
): Wrap {
  const site = adapted.module as Linear;
  const { initial_A, initial_B } = adapted.tensors;
  const scale = factor * ownScale;
  return (x, context, next) => {
    const { tape, training } = context;
    const drop = { p: training ? dropout : 0, seed: siteSeed(context.seed, index) };
    const layer = layerOf(adapted, context, useDora);
    const { weight, bias, A, B } = layer;
    const isFirst = next === site.forward;
    if (useDora) {
      const pass = { ...layer, scale, dropout: drop };
      return isFirst && drop.p === 0 ? doraLayer(tape, x, pass) : doraBehind(tape, x, next(x, context), pass);
    }
    const branch = (input: Tensor, A: Tensor, B: Tensor, bias?: Tensor) =>
      ops.linear(tape, ops.linear(tape, input, A), B, { bias });
    if (!isFirst || (initial_A && initial_B)) {
      const whole = next(x, context);
      const rest =
        initial_A && initial_B ? ops.add(tape, whole, branch(x, initial_A, initial_B), -scale) : whole;
      return ops.add(tape, rest, branch(ops.dropout(tape, x, drop), A, B, adapted.tensors.lora_bias), scale);
    }
    const lora = { A, scale, dropout: drop.p, seed: drop.seed };
    return ops.linear(tape, x, weight, { bias: biasWith(tape, bias, adapted, scale), B, lora });
  };
}

/** Computes the layers of one input together, sharing what their branches have in common; siblings without a branch run as usual. */
export function jointWrap(
  { members }: Siblings,
  sites: readonly Site[],
  stack: Tensor,
  { scale, useDora }: Update,
): JointWrap {
  return (x, context) => {
    const { tape } = context;
    const layers = sites.map((site) => {
      const layer = layerOf(site, context, useDora);
      const { weight, A, B, tensors } = layer;
      return { weight, A, B, tensors, scale, bias: biasWith(tape, layer.bias, site, scale) };
    });
    const inner = useDora ? layers.map(({ weight, B }) => ({ weight, B })) : layers;
    const ys = ops.linears(tape, x, inner, { A: stack, scale, dropout: 0, seed: 0 });
    const outputs = useDora
      ? layers.map((layer, i) => doraScaling(tape, layer.tensors, layer)(ys[i] as Tensor, layer.bias))
      : ys;
    const adapted = new Map(sites.map(({ module }, i) => [module, outputs[i] as Tensor]));
    return members.map((member) => adapted.get(member) ?? call(member, x, context));
  };
}

/**
 * W + s · B A, and − s · B₀ A₀ where the branch began so, `[out, in]` f32; with DoRA its rows have the magnitudes that
 * were trained.
 */
export function mergedWeight(site: Site, { scale, useDora }: Update, copies: Copies): Tensor {
  const { weight } = { ...(site.module as Linear).tensors, ...copies };
  const { A, B } = factorsOf(site);
  const { initial_A, initial_B } = site.tensors;
  const whole = addInto(matmul(B, A, { layout: "NN", alpha: scale }), castToFloat(weight));
  if (useDora) return doraMerged(whole, site.tensors, { weight, A, B, scale });
  if (!initial_A || !initial_B) return whole;
  return addInto(matmul(initial_B, initial_A, { layout: "NN", alpha: -scale }), whole);
}

/** The layer's bias, or its trained copy, and s times that of lora_B, `[out]` f32. */
export function mergedBias(site: Site, scale: number, copies: Copies): Tensor {
  const bias = copies.bias?.words ?? (site.module as Linear).bias;
  return biasWith(undefined, bias, site, scale) ?? fail(site.module.path, "there is no bias to merge into");
}
