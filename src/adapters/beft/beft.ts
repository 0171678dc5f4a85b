import * as ops from "../../autograd/ops.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { add } from "../../kernels/elementwise.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, flag, type Rules } from "../../util/options.ts";
import { normal } from "../lora/initial/normal.ts";
import type { Method, Site } from "../method.ts";
import { findSites, type TargetsIn, targetsByType, withoutConv1d } from "../sites/choose-sites.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import { listed } from "../stored-tensors.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";

/** Options of BEFT; names and meaning as in PEFT's BeftConfig, in camel case. */
export interface BeftOptions extends WholeOptions {
  /**
   * Names or suffixes of linear layers, a full-match regular expression, or `all-linear`, which is BitFit of the linear layers;
   * PEFT's choice for the model, the projections to values, unless given.
   */
  targetModules?: readonly string[] | string;
  /** Biases begin at zero; true unless given. */
  initWeights?: boolean;
}

/** BEFT with its options. */
export interface Beft extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "BEFT";
  /** As given. */
  readonly options: BeftOptions;
  /** The targets in a model: those of the options, or PEFT's for its type. */
  readonly targetsIn: TargetsIn;
}

/** PEFT's choice for the types that it knows (`utils/constants.py`, 0.21). */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ["llama", "mistral", "mixtral", "opt", "phi", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3"].map(
      (type) => [type, ["v_proj"]],
    ),
  ),
  bert: ["value"],
  roberta: ["value"],
  "deberta-v2": ["value_proj"],
};

const RULES: Rules<BeftOptions> = {
  targetModules: SITE_RULES.targetModules,
  modulesToSave: SITE_RULES.modulesToSave,
  trainHead: SITE_RULES.trainHead,
  initWeights: flag("init_weights"),
};

/**
 * BEFT: y = W x + b + b′ with a trained bias b′ `[1, out]`, of the projections to values or of any linear layers, also such as
 * have no b. arXiv 2509.15974; with all linear layers it is BitFit (Zaken et al. 2022, arXiv 2106.10199) without the norms'
 * biases. As in PEFT `tuners/beft/layer.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function beft(options: BeftOptions = {}): Beft {
  checkOptions("beft", options, RULES);
  const targetsIn = targetsByType("beft", options.targetModules, VALUES);
  return {
    type: "BEFT",
    options,
    targetsIn,
    sites(model) {
      const found = findSites("beft", model, { ...options, targetModules: targetsIn(model) }, isLinear);
      return withoutConv1d("beft", found, "lora with bias");
    },
    saved: (model) => findWhole(model, options),
    tensors(site) {
      const { outFeatures } = site as Linear;
      const begin = options.initWeights === false && { begin: normal(outFeatures, 1) };
      return { beft_bias: { shape: [1, outFeatures], ...begin } };
    },
    wrap(site) {
      const bias = biasOf(site);
      return (x, context, next) => ops.addBias(context.tape, next(x, context), bias);
    },
    merge(site): Readonly<Record<string, () => Tensor>> {
      const { bias } = site.module as Linear;
      const own = biasOf(site);
      return bias ? { bias: () => add(bias, own.reshape(bias.shape)) } : {};
    },
    mergeProblems(sites) {
      const without = sites.filter(({ module }) => !(module as Linear).bias).map(({ module }) => module.path);
      return without.length > 0 ? [`${listed(without)}: the layers have no bias to merge one into`] : [];
    },
  };
}

function biasOf({ module, tensors: { beft_bias } }: Site): Tensor {
  return beft_bias ?? fail(module.path, "beft_bias is missing");
}
