import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { addInto } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import { swapAxes } from "../../kernels/swap-axes.ts";
import type { Linear } from "../../nn/linear.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, either, flag, integer, oneOf, type Rules, withDefaults } from "../../util/options.ts";
import { kaimingUniform } from "../lora/initial/kaiming.ts";
import type { Site, TensorPlan, TensorPlans } from "../method.ts";
import {
  addUpdate,
  LYCORIS_DEFAULTS,
  LYCORIS_RULES,
  type Lycoris,
  type LycorisOptions,
  lycorisChoice,
} from "./lycoris.ts";

/** Options of LoKr; names and meaning as in PEFT's LoKrConfig, in camel case. */
export interface LokrOptions extends LycorisOptions {
  /** The first matrix is a product of rank r, too, where that is smaller; false unless given. */
  decomposeBoth?: boolean;
  /** Size of the first matrix along both axes, where it divides them; −1 unless given: close to the square root. */
  decomposeFactor?: number;
  /** What rankDropout leaves is scaled up by its share; false unless given. */
  rankDropoutScale?: boolean;
  /**
   * The update begins as zero by its first matrix; true unless given. `lycoris`: by its second, as in LyCORIS; false: it does
   * not.
   */
  initWeights?: boolean | "lycoris";
}

const DEFAULTS = {
  ...LYCORIS_DEFAULTS,
  decomposeBoth: false,
  decomposeFactor: -1,
  rankDropoutScale: false,
  initWeights: true as boolean | "lycoris",
};

const RULES: Rules<LokrOptions> = {
  ...LYCORIS_RULES,
  decomposeBoth: flag("decompose_both"),
  decomposeFactor: integer({ min: -1 }, "decompose_factor", "factor"),
  rankDropoutScale: flag("rank_dropout_scale"),
  initWeights: either(flag(), oneOf(["lycoris"]), "init_weights"),
};

/** LoKr with all options settled. */
export interface Lokr extends Lycoris {
  /** PEFT's `peft_type`. */
  readonly type: "LOKR";
  /** As given, with the defaults filled in. */
  readonly options: LokrOptions & Required<Pick<LokrOptions, keyof typeof DEFAULTS>>;
}

/**
 * Low-rank Kronecker product: y = W x + s · (W₁ ⊗ W₂) x, s = alpha / r, where W₂, and W₁ if asked for, is a product of rank r.
 * The product is never formed: of x as a matrix, it is W₂ x W₁ᵀ.
 * Yeh et al. 2023 (LyCORIS), arXiv 2309.14859; as in PEFT `tuners/lokr/layer.py`.
 * @throws LoraError for an option that there is not, a value that is not wanted, and a pattern that is no expression
 */
export function lokr(given: LokrOptions = {}): Lokr {
  checkOptions("lokr", given, RULES);
  const options = withDefaults(DEFAULTS, given);
  const choice = lycorisChoice("lokr", options, RULES);
  const { rankOf } = choice;
  const scaleOf = (path: string) => rankOf(path).alpha / rankOf(path).r;
  return {
    type: "LOKR",
    options,
    ...choice,
    tensors: (site) => plans(site as Linear, rankOf(site.path).r, options),
    scales: true,
    wrap: (site, given) =>
      addUpdate((tape, x) => kroneckerLinear(tape, x, site), given, {
        ...options,
        scaled: options.rankDropoutScale,
        scale: scaleOf(site.module.path),
        outFeatures: (site.module as Linear).outFeatures,
      }),
    merge: (site) => ({ weight: () => mergedWeight(site, scaleOf(site.module.path)) }),
  };
}

/**
 * The sizes of the two matrices along an axis: the factor and the rest where it divides the axis, else the two divisors closest
 * to each other of which the smaller is at most the factor (−1: any). PEFT's `factorization`.
 */
export function factorPair(size: number, factor: number): [first: number, second: number] {
  if (factor > 0 && size % factor === 0) return [factor, size / factor];
  const most = Math.min(Math.floor(Math.sqrt(size)), factor === -1 ? size : factor);
  let first = Math.max(1, most);
  while (size % first !== 0) first--;
  return [first, size / first];
}

/** W₁ `[a, b]` and W₂ `[c, d]` of a layer of b·d → a·c, each whole where a product of rank r would not be smaller. */
function plans({ inFeatures, outFeatures }: Linear, r: number, options: Lokr["options"]): TensorPlans {
  const [a, c] = factorPair(outFeatures, options.decomposeFactor);
  const [b, d] = factorPair(inFeatures, options.decomposeFactor);
  const { decomposeBoth, initWeights } = options;
  const isSmall = (rows: number, columns: number) => r < Math.max(rows, columns) / 2;
  const [first, second] = [initWeights === true, initWeights === "lycoris"];
  const begun = (shape: readonly [number, number], isZero: boolean): TensorPlan =>
    isZero ? { shape } : kaimingUniform(shape);
  return {
    ...(decomposeBoth && isSmall(a, b)
      ? { lokr_w1_a: begun([a, r], first), lokr_w1_b: begun([r, b], false) }
      : { lokr_w1: begun([a, b], first) }),
    ...(isSmall(c, d)
      ? { lokr_w2_a: begun([c, r], false), lokr_w2_b: begun([r, d], second) }
      : { lokr_w2: begun([c, d], second) }),
  };
}

/** The factors of one of the two matrices, first on the right: one, or two of rank r. */
function factorsOf({ module, tensors }: Site, name: "lokr_w1" | "lokr_w2"): Tensor[] {
  const whole = tensors[name];
  if (whole) return [whole];
  const [a, b] = [tensors[`${name}_a`], tensors[`${name}_b`]];
  if (!a || !b) return fail(module.path, `${name} is missing`);
  return [b, a];
}

/** x (W₁ ⊗ W₂)ᵀ: each row of x is a matrix `[b, d]`, of which the last axis is multiplied first, then the other one. */
function kroneckerLinear(tape: Tape | undefined, x: Tensor, site: Site): Tensor {
  const [first, second] = [factorsOf(site, "lokr_w1"), factorsOf(site, "lokr_w2")];
  const through = (input: Tensor, factors: readonly Tensor[]) =>
    factors.reduce((value, factor) => ops.linear(tape, value, factor), input);
  const [b, d] = [first[0]?.columns as number, second[0]?.columns as number];
  const [a, c] = [first.at(-1)?.rows as number, second.at(-1)?.rows as number];
  const inner = through(x.reshape([x.size / d, d]), second); // [..., b, c]
  const turned = ops.swapAxes(tape, inner, { rows: b, cols: c });
  const outer = through(turned.reshape([turned.size / b, b]), first); // [..., c, a]
  return ops.swapAxes(tape, outer, { rows: c, cols: a }).reshape([...x.shape.slice(0, -1), a * c]);
}

/** W + s · W₁ ⊗ W₂, `[out, in]` f32: the products of all their elements, in the order of the layer's. */
function mergedWeight(site: Site, scale: number): Tensor {
  const [first, second] = [factorsOf(site, "lokr_w1"), factorsOf(site, "lokr_w2")].map(multiplied);
  if (!first || !second) return fail(site.module.path, "a matrix is missing");
  const [a, b, c, d] = [first.rows, first.columns, second.rows, second.columns];
  const column = first.reshape([a * b, 1]);
  const row = second.reshape([1, c * d]);
  const products = matmul(column, row, { layout: "NN", alpha: scale }); // [a, b, c, d]
  const update = swapAxes(products, { rows: b, cols: c, unit: d }).reshape([a * c, b * d]);
  return addInto(update, castToFloat((site.module as Linear).weight));
}

function multiplied([right, left]: readonly Tensor[]): Tensor | undefined {
  return left && right ? matmul(left, right, { layout: "NN" }) : right;
}
