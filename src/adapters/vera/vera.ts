import * as ops from "../../autograd/ops.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { rowScale } from "../../kernels/column-scale.ts";
import { sliceColumns } from "../../kernels/columns.ts";
import { addInto } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import type { Wrap } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import { mersenneTwister, torchUniform } from "../../util/mersenne-twister.ts";
import { checkOptions, FACTOR, integer, number, type Rules, withDefaults } from "../../util/options.ts";
import type { Adaptable, Method, Site, SiteTensors, TensorPlans, WrapGiven } from "../method.ts";
import { findSites } from "../sites/choose-sites.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import { siteSeed } from "../sites/site-seed.ts";
import type { TargetOptions } from "../sites/targets.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";

/** Options of VeRA; names and meaning as in PEFT's VeraConfig, without `vera_` and in camel case. */
export interface VeraOptions extends Omit<TargetOptions, "isOutput" | "excludeModules">, WholeOptions {
  /** Rows of the random matrix A; 256 unless given, many more than LoRA's since they are not trained. */
  r?: number;
  /** Names or suffixes of linear layers, a full-match regular expression, or `all-linear`, which is the default. */
  targetModules?: readonly string[] | string;
  /** Seeds the random matrices, as in PEFT to the bit; 0 unless given. */
  projectionPrngKey?: number;
  /** Probability of dropping an input element of the branch while training; 0 unless given. */
  dropout?: number;
  /** Where the factors d begin; 0.1 unless given. */
  dInitial?: number;
}

/** What holds where nothing is said. */
export const VERA_DEFAULTS = {
  r: 256,
  targetModules: "all-linear",
  projectionPrngKey: 0,
  dropout: 0,
  dInitial: 0.1,
} satisfies VeraOptions;

const { excludeModules: _, ...WHERE } = SITE_RULES;

const RULES: Rules<VeraOptions> = {
  ...WHERE,
  r: integer({ min: 1 }, "vera_r", "rank"),
  projectionPrngKey: integer({ min: 0, max: 2 ** 32 - 1 }),
  dropout: number({ min: 0, below: 1 }, "vera_dropout"),
  dInitial: number(FACTOR),
};

/** VeRA with all options settled. */
export interface Vera extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "VERA";
  /** As given, with the defaults filled in. */
  readonly options: VeraOptions & Required<Pick<VeraOptions, keyof typeof VERA_DEFAULTS>>;
}

/**
 * VeRA: y = W x + b ⊙ (B (d ⊙ (A x))) with random matrices A `[r, in]` and B `[out, r]` that all layers share, cut to the
 * size of each, and trained factors d `[r]` and b `[out]`. Kopiczko et al. 2023, arXiv 2310.11454; as in PEFT
 * `tuners/vera/layer.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function vera(given: VeraOptions = {}): Vera {
  checkOptions("vera", given, RULES);
  const options = withDefaults(VERA_DEFAULTS, given);
  const { r, dInitial } = options;
  const sites = (model: Adaptable) => findSites("vera", model, options, isLinear);
  return {
    type: "VERA",
    options,
    sites,
    saved: (model) => findWhole(model, options),
    tensors: (site) => ({
      vera_lambda_b: { shape: [(site as Linear).outFeatures] },
      vera_lambda_d: { shape: [r], begin: () => new Float32Array(r).fill(dInitial) },
    }),
    shared: (model) => projections(sites(model), options),
    wrap: (site, given) => veraWrap(site, given, options.dropout),
    merge: (site, shared) => ({ weight: () => merged(site, shared) }),
  };
}

/** The random matrices, of the widest layers: PEFT draws A and then B. */
function projections(sites: readonly Linear[], { r, projectionPrngKey }: Vera["options"]): TensorPlans {
  const columns = sites.reduce((most, { inFeatures }) => Math.max(most, inFeatures), 0);
  const rows = sites.reduce((most, { outFeatures }) => Math.max(most, outFeatures), 0);
  // Kaiming's uniform values with a gain of √2: the bound is √(6 / inputs).
  const draw = (bits: () => number, size: number, inputs: number) =>
    torchUniform(bits, size, Math.sqrt(3) * (Math.SQRT2 / Math.sqrt(inputs)));
  const beginA = (bits: () => number) => draw(bits, r * columns, columns);
  const seeded = () => mersenneTwister(projectionPrngKey);
  return {
    vera_A: { shape: [r, columns], trained: false, begin: () => beginA(seeded()) },
    vera_B: {
      shape: [rows, r],
      trained: false,
      begin() {
        const bits = seeded();
        beginA(bits);
        return draw(bits, rows * r, r);
      },
    },
  };
}

interface Parts {
  readonly A: Tensor;
  readonly B: Tensor;
  readonly b: Tensor;
  readonly d: Tensor;
}

/** The factors of a layer, and what it has of the shared matrices: whole rows of B; columns of A are cut for each pass. */
function partsOf({ module, tensors }: Site, { vera_A, vera_B }: SiteTensors): Parts {
  const { vera_lambda_b: b, vera_lambda_d: d } = tensors;
  if (!vera_A || !vera_B || !b || !d) return fail(module.path, "a tensor of VeRA is missing");
  return { A: vera_A, B: vera_B.slice(0, (module as Linear).outFeatures), b, d };
}

const cut = (A: Tensor, columns: number) => (A.columns === columns ? A : sliceColumns(A, 0, columns));

function veraWrap(site: Site, { index, shared }: WrapGiven, dropout: number): Wrap {
  const { A, B, b, d } = partsOf(site, shared);
  const { inFeatures } = site.module as Linear;
  return (x, context, next) => {
    const { tape, training } = context;
    const dropped = ops.dropout(tape, x, { p: training ? dropout : 0, seed: siteSeed(context.seed, index) });
    const inner = ops.scaleColumns(tape, ops.linear(tape, dropped, cut(A, inFeatures)), d);
    const update = ops.scaleColumns(tape, ops.linear(tape, inner, B), b);
    return ops.add(tape, next(x, context), update);
  };
}

/** W + diag(b) B diag(d) A, `[out, in]` f32. */
function merged(site: Site, shared: SiteTensors): Tensor {
  const { A, B, b, d } = partsOf(site, shared);
  const { weight, inFeatures } = site.module as Linear;
  const change = matmul(rowScale(B, b), rowScale(cut(A, inFeatures), d), { layout: "NN" });
  return addInto(change, castToFloat(weight));
}
