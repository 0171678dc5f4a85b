import { empty, type Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import { addInputSum, type BranchLayer, branchGradients, canWait } from "../kernels/branch-gradients.ts";
import { dropout } from "../kernels/dropout.ts";
import { addBias, addInto, biasGradient, zeros } from "../kernels/elementwise.ts";
import { type Columns, gatedMatmul, type InputNorm, matmul, matmulTogether } from "../kernels/matmul.ts";
import { type SiblingLayer, siblingInputGradient, siblingProducts } from "../kernels/sibling-products.ts";
import { partsOf, type Weight } from "../kernels/weight.ts";
import { append } from "../util/arrays.ts";
import type { Accumulate, Tape } from "./tape.ts";

/** A linear layer: y = x Wᵀ + bias. */
export interface LinearLayer {
  /** `[out, in]`, frozen or trainable f32 */
  weight: Weight;
  /** `[out]` */
  bias?: Tensor | undefined;
  /** `[out, r]`: the second half of the layer's low-rank branch, if it has one */
  B?: Tensor | undefined;
}

/** The first half of low-rank branches: they add scale · B A dropout(x). Hu et al. 2021, arXiv 2106.09685. */
export interface LoraBranch {
  /** `[Σ r, in]`: the rows of all layers that have a B, in their order */
  A: Tensor;
  scale: number;
  /** Probability with which an input element of the branch is dropped; 0 outside training. */
  dropout: number;
  /** Seed of this dropout in this pass. */
  seed: number;
}

/** Options of {@link linear}. */
export interface LinearOptions extends Omit<LinearLayer, "weight"> {
  lora?: LoraBranch | undefined;
}

/**
 * y = x Wᵀ + bias + scale · (drop(x) Aᵀ) Bᵀ, the branch fused into the main product.
 * @param x `[..., in]`, f32 or f16, and y like it; between A and B all is f32
 * @param weight `[out, in]`, frozen or trainable f32
 */
export function linear(
  tape: Tape | undefined,
  x: Tensor,
  weight: Weight,
  { bias, B, lora }: LinearOptions = {},
): Tensor {
  const [y] = linears(tape, x, [{ weight, bias, B }], lora);
  return y as Tensor;
}

/**
 * Several linear layers of one input. What their branches have in common is computed once: h = scale · drop(x) Aᵀ
 * `[..., Σ r]` reads x once for all, and so does the gradient of A.
 * @param x `[..., in]`
 * @returns `[..., out]` of each layer
 */
export function linears(
  tape: Tape | undefined,
  x: Tensor,
  layers: readonly LinearLayer[],
  branch?: LoraBranch,
): Tensor[] {
  const h =
    branch && matmul(dropped(x, branch), branch.A, { layout: "NT", alpha: branch.scale, dtype: "f32" });
  const placed = placeBranches(layers);
  const together = jointProducts(tape, x, placed, h);
  const output = (layer: Placed, i: number) => {
    const y = together?.[i] ?? matmul(x, layer.weight, { layout: "NT", extend: extension(layer, h) });
    const { bias } = layer;
    return bias ? addBias(y, bias) : y;
  };
  const ys = placed.map(output);
  if (!tape) return ys;
  const needsX = layers.some(({ weight }) => tape.tracks(weight.words)) || (branch && tape.tracks(branch.A));
  const inputs: Tensor[] = [x];
  const exact: Tensor[] = [];
  for (const { weight, bias, B } of layers) {
    inputs.push(weight.words);
    append(exact, partsOf(weight));
    for (const own of [bias, B]) if (own) inputs.push(own);
    for (const own of [bias, B]) if (own) exact.push(own);
  }
  if (branch) inputs.push(branch.A);
  if (branch) exact.push(branch.A);
  if (h) exact.push(h);
  // A product by itself may add in another order than one of several: what came of those is kept.
  const isAlone = needsX && placed.length > 1 && !together;
  const exactlyAgain = placed.map((layer, i) =>
    isAlone && isNarrow(layer.weight) ? () => output(layer, i) : undefined,
  );
  const saved = { exact, coarse: needsX ? [x] : [], exactlyAgain };
  tape.recordAll(ys, inputs, saved, (dys, give) => {
    const used: Used[] = [];
    placed.forEach(({ weight, bias, B, part }, i) => {
      const dy = dys[i];
      if (dy) used.push({ weight, bias, B, part, dy });
    });
    for (const { dy, weight, bias } of used) {
      give(weight.words, (into) => matmul(dy, x, { layout: "TN", into }));
      if (bias) give(bias, (into) => biasGradient(dy, into));
    }
    const inner = branch && h && withGradient(branch, branchGradient(tape, used, branch, h, give));
    if (inner) giveInputSum(tape, inner, x, give);
    give(x, (into) => inputGradient(used, inner, into));
  });
  return ys;
}

/**
 * act(x Gᵀ) · (x Uᵀ) without a tape, where one dispatch can compute that.
 * @param layers gate and up, without biases
 * @param norm takes the norm of x for x
 */
export function gatedLinears(
  x: Tensor,
  [gate, up]: readonly [gate: Weight, up: Weight],
  activation: Activation,
  norm?: InputNorm,
): Tensor | undefined {
  return gatedMatmul(x, [{ weight: gate }, { weight: up }], activation, norm);
}

/** {@link linears} of the norm of x without a tape, where one dispatch can compute both. */
export function linearsOfNorm(
  x: Tensor,
  norm: InputNorm,
  layers: readonly LinearLayer[],
): Tensor[] | undefined {
  const ys = matmulTogether(x, layers, norm);
  return ys?.map((y, i) => {
    const bias = layers[i]?.bias;
    return bias ? addBias(y, bias) : y;
  });
}

/** into += x Wᵀ, without a tape. */
export function addLinear(into: Tensor, x: Tensor, weight: Weight): void {
  matmul(x, weight, { layout: "NT", into });
}

/**
 * Outputs at most half as wide as the input are computed again rather than kept: keys and values of heads that several queries share, 1.7 %
 * of the multiply-adds of a step of Llama-3.2-1B for 6 % of its memory.
 */
const isNarrow = ({ rows, columns }: Weight) => 2 * rows <= columns;

/** Outputs of one dispatch for all are kept, narrow or not: it has to take this share of the time of products one by one. */
const WORTH_MEMORY = 0.8;

/** A layer and where its r columns lie among those of all branches. */
interface Placed extends LinearLayer {
  part: Omit<Columns, "of">;
}

/** All of x Wᵀ + h Bᵀ in one dispatch, where a kernel of the device can compute them so and that pays. */
function jointProducts(
  tape: Tape | undefined,
  x: Tensor,
  layers: readonly Placed[],
  h: Tensor | undefined,
): Tensor[] | undefined {
  if (layers.length === 1) return undefined;
  const siblings = layers.map(
    ({ weight, B, part: { first } }): SiblingLayer => ({ weight, B: h && B, first }),
  );
  const costsMemory = tape && layers.some(({ weight }) => isNarrow(weight));
  const ys = siblingProducts(x, siblings, h, costsMemory ? WORTH_MEMORY : 1);
  if (ys || tape) return ys;
  const parts = layers.map((layer) => ({ weight: layer.weight, extend: extension(layer, h) }));
  return matmulTogether(x, parts);
}

/** What a layer's branch adds to its product. */
function extension({ B, part }: Placed, h: Tensor | undefined) {
  return h && B ? { h: { of: h, first: part.first, count: part.count }, e: B } : undefined;
}

/** A layer whose output got a gradient. */
interface Used extends Placed {
  dy: Tensor;
}

function placeBranches(layers: readonly LinearLayer[]): Placed[] {
  let end = 0;
  return layers.map(({ weight, bias, B }) => {
    const first = end;
    end += B?.columns ?? 0;
    return { weight, bias, B, part: { first, count: end - first } };
  });
}

/**
 * Gives the gradient of each B.
 * @param h `[..., Σ r]`: scale · drop(x) Aᵀ
 * @returns the gradient between A and B, before scaling: scale · dy B, side by side, `[..., Σ r]`
 */
function branchGradient(
  tape: Tape,
  used: readonly Used[],
  { A, scale }: LoraBranch,
  h: Tensor,
  give: Accumulate,
): Tensor {
  const layers = used.flatMap(({ dy, B, part }): BranchLayer[] => {
    if (!B) return [];
    let sink: Tensor | undefined;
    give(B, (into) => {
      if (!into) return matmul(dy, { of: h, ...part }, { layout: "TN" });
      sink = into; // added to below, with dh
      return into;
    });
    return [{ dy, B, dB: sink, first: part.first }];
  });
  const { device, shape } = h;
  const covered = used.reduce((sum, { part }) => sum + part.count, 0);
  const dh = (covered === A.rows ? empty : zeros)(device, shape);
  tape.withWaiting((sum) => branchGradients(layers, { h, dh, scale }, sum));
  return dh;
}

const withGradient = ({ A, scale, dropout, seed }: LoraBranch, dh: Tensor) => ({
  A,
  scale,
  dropout,
  seed,
  dh,
});

/** Gives dA = dhᵀ drop(x), for which nothing waits: it may come along with the gradients of the next branch. */
function giveInputSum(
  tape: Tape,
  branch: LoraBranch & { dh: Tensor },
  input: Tensor,
  give: Accumulate,
): void {
  const { A, dh } = branch;
  const dA = tape.sinkOf(A);
  const sum = dA && { dh, x: dropped(input, branch), dA };
  if (sum && canWait(sum)) tape.leave(sum);
  else if (sum) addInputSum(sum);
  else give(A, (into) => matmul(dh, dropped(input, branch), { layout: "TN", into }));
}

/** dx = Σ dy W + mask(dh A); without dropout the branch is fused into the last product. */
function inputGradient(
  used: readonly Used[],
  branch: (LoraBranch & { dh: Tensor }) | undefined,
  into: Tensor | undefined,
): Tensor {
  const fused = branch && branch.dropout === 0 ? { h: branch.dh, e: branch.A } : undefined;
  let dx = siblingInputGradient(used, fused && { dh: fused.h, A: fused.e }, into);
  if (!dx) {
    dx = into;
    for (const [i, { dy, weight }] of used.entries()) {
      const extend = i === used.length - 1 ? fused : undefined;
      dx = matmul(dy, weight, { layout: "NN", into: dx, extend });
    }
  }
  if (!branch || fused) return dx as Tensor;
  const { dtype } = dx as Tensor;
  return addInto(dx as Tensor, dropped(matmul(branch.dh, branch.A, { layout: "NN", dtype }), branch));
}

/** Forward and backward use the same mask: it depends on the seed only, nothing is stored. */
function dropped(x: Tensor, { dropout: p, seed }: Pick<LoraBranch, "dropout" | "seed">): Tensor {
  return p === 0 ? x : dropout(x, { p, seed });
}
