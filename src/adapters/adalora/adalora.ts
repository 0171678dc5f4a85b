import * as ops from "../../autograd/ops.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { rowScale } from "../../kernels/column-scale.ts";
import { addInto, zeros } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import { orthogonality } from "../../kernels/orthogonality.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import type { Wrap } from "../../nn/module.ts";
import { placedSize } from "../../nn/parameters.ts";
import { fail, failAll } from "../../util/fail.ts";
import { checkOptions, FACTOR, flag, integer, number, type Rules, withDefaults } from "../../util/options.ts";
import { normal } from "../lora/initial/normal.ts";
import type { Adaptable, AdapterTensors, Method, Site, TensorPlans, WrapGiven } from "../method.ts";
import { findSites } from "../sites/choose-sites.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import { siteSeed } from "../sites/site-seed.ts";
import type { TargetOptions } from "../sites/targets.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";
import { allocateRanks } from "./rank-allocator.ts";

/** Options of AdaLoRA; names and meaning as in PEFT's AdaLoraConfig, without `lora_` and in camel case. */
export interface AdaLoraOptions extends Omit<TargetOptions, "isOutput">, WholeOptions {
  /** Rank of every layer at first; 12 unless given. */
  initR?: number;
  /** Mean rank in the end; 8 unless given. */
  targetR?: number;
  /** Numerator of the scale alpha / initR; 8 unless given. */
  alpha?: number;
  /** Probability of dropping an input element of the branch while training; 0 unless given. */
  dropout?: number;
  /** Names or suffixes of linear layers, a full-match regular expression, or `all-linear`, which is the default. */
  targetModules?: readonly string[] | string;
  /** Steps before ranks are cut down; 0 unless given. */
  tinit?: number;
  /** Steps at the end in which they stay; 0 unless given. */
  tfinal?: number;
  /** Steps between two cuts; 1 unless given. */
  deltaT?: number;
  /** Share of the mean of sensitivities that stays in a step; 0.85 unless given. */
  beta1?: number;
  /** The same of the mean of their uncertainties. */
  beta2?: number;
  /** Factor of the penalty on what is not orthogonal; 0.5 unless given. */
  orthRegWeight?: number;
  /** Steps of the plan; those of the run unless given. */
  totalStep?: number;
  /** The update begins as zero; true unless given. */
  initWeights?: boolean;
}

/** What holds where nothing is said: PEFT's values, but every linear layer, as for LoRA. */
export const ADALORA_DEFAULTS = {
  initR: 12,
  targetR: 8,
  alpha: 8,
  dropout: 0,
  targetModules: "all-linear",
  tinit: 0,
  tfinal: 0,
  deltaT: 1,
  beta1: 0.85,
  beta2: 0.85,
  orthRegWeight: 0.5,
  initWeights: true,
} satisfies AdaLoraOptions;

const SHARE = { above: 0, below: 1 };

const RULES: Rules<AdaLoraOptions> = {
  initR: integer({ min: 1 }, "init_r", "r", "rank"),
  targetR: integer({ min: 1 }, "target_r"),
  alpha: number({ above: 0, max: FACTOR.max }, "lora_alpha"),
  dropout: number({ min: 0, below: 1 }, "lora_dropout"),
  ...SITE_RULES,
  tinit: integer({ min: 0 }),
  tfinal: integer({ min: 0 }),
  deltaT: integer({ min: 1 }, "delta_t"),
  beta1: number(SHARE),
  beta2: number(SHARE),
  orthRegWeight: number({ min: 0, max: FACTOR.max }, "orth_reg_weight"),
  totalStep: integer({ min: 1 }, "total_step"),
  initWeights: flag("init_lora_weights"),
};

/** Which of a layer's ranks are left, by its path: of an adapter whose ranks were cut down. */
export type KeptRanks = ReadonlyMap<string, readonly boolean[]>;

/** AdaLoRA with all options settled. */
export interface AdaLora extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "ADALORA";
  /** As given, with the defaults filled in. */
  readonly options: AdaLoraOptions & Required<Pick<AdaLoraOptions, keyof typeof ADALORA_DEFAULTS>>;
  /** The ranks that are left, of a stored adapter that was cut down: it stays as it is. */
  readonly ranks?: KeptRanks | undefined;
}

/**
 * AdaLoRA: y = W x + s · P Λ Q x in the form of a singular value decomposition, lora_B `[out, r]`, lora_E `[r, 1]`, lora_A
 * `[r, in]`, s = alpha / initR. The loss has a penalty on P and Q that are not orthogonal, and while it trains, the singular
 * values that matter least in all layers together are set to 0. Zhang et al. 2023, arXiv 2303.10512; as in PEFT
 * `tuners/adalora`, whose `update_and_allocate` is called with the number of the step from 1.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function adalora(given: AdaLoraOptions = {}): AdaLora {
  checkOptions("adalora", given, RULES);
  const options = withDefaults(ADALORA_DEFAULTS, given);
  const { initR, targetR, tinit, tfinal, totalStep } = options;
  failAll("adalora", [
    ...(targetR > initR ? [`targetR is ${targetR}, above initR, ${initR}`] : []),
    ...(totalStep !== undefined && tinit >= totalStep - tfinal
      ? [`tinit ${tinit} and tfinal ${tfinal} leave none of ${totalStep} steps to cut ranks down in`]
      : []),
  ]);
  return { ...ofRanks(options, undefined), afterStep: (parts, step) => allocateRanks(parts, step, options) };
}

/** The same with the ranks that are left of an adapter that was cut down; it can be trained on with these. */
export function cutAdalora(given: AdaLoraOptions, ranks: KeptRanks): AdaLora {
  return ofRanks(adalora(given).options, ranks);
}

function ofRanks(options: AdaLora["options"], ranks: KeptRanks | undefined): AdaLora {
  const { initR, alpha, orthRegWeight, dropout } = options;
  // PEFT adds 1e-5 to the rank, which is a float there.
  const scale = alpha / (initR + 1e-5);
  const sites = (model: Adaptable) => findSites("adalora", model, options, isLinear);
  const rankAt = (path: string) => {
    const left = ranks?.get(path)?.filter(Boolean).length ?? initR;
    return Math.max(1, left); // one of zeros where none is left: a tensor has a size
  };
  const trained = ({ inFeatures, outFeatures, path }: Linear): TensorPlans => {
    const r = rankAt(path);
    return {
      lora_A: { shape: [r, inFeatures], begin: normal(r * inFeatures, 0.02) },
      lora_B: { shape: [outFeatures, r], begin: normal(outFeatures * r, 0.02) },
      lora_E: { shape: [r, 1], ...(!options.initWeights && { begin: normal(r, 1) }) },
    };
  };
  return {
    type: "ADALORA",
    options,
    ranks,
    sites,
    saved: (model) => findWhole(model, options),
    tensors(site) {
      const count = rankAt(site.path);
      const isNone = ranks?.get(site.path)?.includes(true) === false;
      const kept = {
        shape: [count],
        trained: false,
        begin: () => new Float32Array(count).fill(isNone ? 0 : 1),
      };
      return { ...(isNone ? withoutValues(trained(site as Linear)) : trained(site as Linear)), kept };
    },
    ...(!ranks && {
      shared(model: Adaptable): TensorPlans {
        const shapes = sites(model).flatMap((site) => Object.values(trained(site)).map(({ shape }) => shape));
        const average = { shape: [placedSize(shapes)], trained: false };
        return { sensitivity: average, uncertainty: average };
      },
    }),
    scales: true,
    wrap: (site, given) => adaloraWrap(site, given, { scale, dropout }),
    ...(orthRegWeight > 0 && {
      penalty: (parts: AdapterTensors, weight: number, gradients?: ReadonlyMap<Tensor, Tensor>) =>
        penaltyOf(parts, weight * orthRegWeight, gradients),
    }),
    merge: (site) => ({ weight: () => merged(site, scale) }),
  };
}

/** All of them zero. */
function withoutValues(plans: TensorPlans): TensorPlans {
  return Object.fromEntries(Object.entries(plans).map(([name, { shape }]) => [name, { shape }]));
}

interface Factors {
  readonly A: Tensor;
  readonly B: Tensor;
  readonly E: Tensor;
}

function factorsOf({ module, tensors }: Site): Factors {
  const { lora_A: A, lora_B: B, lora_E: E } = tensors;
  if (!A || !B || !E) return fail(module.path, "lora_A, lora_B or lora_E is missing");
  return { A, B, E };
}

function adaloraWrap(
  site: Site,
  { index, factor }: WrapGiven,
  { scale, dropout }: { scale: number; dropout: number },
): Wrap {
  const { A, B, E } = factorsOf(site);
  return (x, context, next) => {
    const { tape, training, seed } = context;
    const dropped = ops.dropout(tape, x, { p: training ? dropout : 0, seed: siteSeed(seed, index) });
    const inner = ops.scaleColumns(tape, ops.linear(tape, dropped, A), E);
    return ops.add(tape, next(x, context), ops.linear(tape, inner, B), factor * scale);
  };
}

/** weight · the mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ over all sites, `[1]`. */
function penaltyOf(
  { sites }: AdapterTensors,
  weight: number,
  gradients: ReadonlyMap<Tensor, Tensor> | undefined,
): Tensor {
  const [first] = sites;
  const { device } = factorsOf(first as Site).A;
  const total = zeros(device, [1]);
  for (const site of sites) {
    const { A, B } = factorsOf(site);
    const share = { weight: weight / (2 * sites.length), total };
    orthogonality(A, "rows", { ...share, gradient: gradients?.get(A) });
    orthogonality(B, "columns", { ...share, gradient: gradients?.get(B) });
  }
  return total;
}

/** W + s · B (E ⊙ A), `[out, in]` f32. */
function merged(site: Site, scale: number): Tensor {
  const { A, B, E } = factorsOf(site);
  const update = matmul(B, rowScale(A, E), { layout: "NN", alpha: scale });
  return addInto(update, castToFloat((site.module as Linear).weight));
}
