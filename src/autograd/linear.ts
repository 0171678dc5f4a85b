import { empty, type Tensor } from "../gpu/tensor.ts";
import { type BranchLayer, branchGradients } from "../kernels/branch-gradients.ts";
import { dropout } from "../kernels/dropout.ts";
import { addBias, addInto, biasGradient, zeros } from "../kernels/elementwise.ts";
import { type Columns, matmul } from "../kernels/matmul.ts";
import { partsOf, type Weight } from "../kernels/weight.ts";
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
 * @param x `[..., in]`
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
  const h = branch && matmul(dropped(x, branch), branch.A, { layout: "NT", alpha: branch.scale });
  const placed = placeBranches(layers);
  const ys = placed.map(({ weight, bias, B, part }) => {
    const extend = h && B && { h: { of: h, ...part }, e: B };
    const y = matmul(x, weight, { layout: "NT", ...(extend && { extend }) });
    return bias ? addBias(y, bias) : y;
  });
  if (!tape) return ys;
  const trained = layers
    .flatMap(({ weight, bias, B }) => [weight.words, bias, B])
    .filter((tensor) => tensor !== undefined);
  const needsX = layers.some(({ weight }) => tape.tracks(weight.words)) || (branch && tape.tracks(branch.A));
  const matrices = [
    ...layers.flatMap(({ weight, B }) => (B ? [...partsOf(weight), B] : partsOf(weight))),
    ...(branch ? [branch.A] : []),
  ];
  const inputs = [x, ...trained, ...(branch ? [branch.A] : [])];
  const saved = [...matrices, ...(needsX ? [x] : []), ...(h ? [h] : [])];
  tape.recordAll(ys, inputs, saved, (dys, give) => {
    const used = placed.flatMap((layer, i): Used[] => {
      const dy = dys[i];
      return dy ? [{ ...layer, dy }] : [];
    });
    for (const { dy, weight, bias } of used) {
      give(weight.words, (into) => matmul(dy, x, { layout: "TN", ...(into && { into }) }));
      if (bias) give(bias, (into) => biasGradient(dy, into));
    }
    const inner = branch && h && { ...branch, dh: branchGradient(used, branch, h, give) };
    if (inner)
      give(inner.A, (into) => matmul(inner.dh, dropped(x, inner), { layout: "TN", ...(into && { into }) }));
    give(x, (into) => inputGradient(used, inner, into));
  });
  return ys;
}

/** A layer and where its r columns lie among those of all branches. */
interface Placed extends LinearLayer {
  part: Omit<Columns, "of">;
}

/** A layer whose output got a gradient. */
interface Used extends Placed {
  dy: Tensor;
}

function placeBranches(layers: readonly LinearLayer[]): Placed[] {
  let end = 0;
  return layers.map((layer) => {
    const first = end;
    end += layer.B?.columns ?? 0;
    return { ...layer, part: { first, count: end - first } };
  });
}

/**
 * Gives the gradient of each B.
 * @param h `[..., Σ r]`: scale · drop(x) Aᵀ
 * @returns the gradient between A and B, before scaling: scale · dy B, side by side, `[..., Σ r]`
 */
function branchGradient(
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
  branchGradients(layers, { h, dh, scale });
  return dh;
}

/** dx = Σ dy W + mask(dh A); without dropout the branch is fused into the last product. */
function inputGradient(
  used: readonly Used[],
  branch: (LoraBranch & { dh: Tensor }) | undefined,
  into: Tensor | undefined,
): Tensor {
  const fused = branch && branch.dropout === 0 ? { extend: { h: branch.dh, e: branch.A } } : undefined;
  let dx = into;
  for (const [i, { dy, weight }] of used.entries()) {
    dx = matmul(dy, weight, { layout: "NN", ...(dx && { into: dx }), ...(i === used.length - 1 && fused) });
  }
  if (!branch || fused) return dx as Tensor;
  return addInto(dx as Tensor, dropped(matmul(branch.dh, branch.A, { layout: "NN" }), branch));
}

/** Forward and backward use the same mask: it depends on the seed only, nothing is stored. */
function dropped(x: Tensor, { dropout: p, seed }: Pick<LoraBranch, "dropout" | "seed">): Tensor {
  return p === 0 ? x : dropout(x, { p, seed });
}
