import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { isLeaf, type Leaf, type Module } from "../../nn/module.ts";
import { checkOptions, type Rules } from "../../util/options.ts";
import type { Method } from "../method.ts";
import { findSites, type TargetsIn, targetsByType } from "../sites/choose-sites.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import type { TargetOptions } from "../sites/targets.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";

type Names = readonly string[] | string;

/** Options of LN tuning; names and meaning as in PEFT's LNTuningConfig, in camel case. */
export interface LnTuningOptions extends Pick<TargetOptions, "excludeModules">, WholeOptions {
  /** Names or suffixes of norms, or a full-match regular expression; PEFT's choice for the model unless given. */
  targetModules?: Names;
}

/** LN tuning with its options. */
export interface LnTuning extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "LN_TUNING";
  /** As given. */
  readonly options: LnTuningOptions;
  /** The targets in a model: those of the options, or PEFT's for its type. */
  readonly targetsIn: TargetsIn;
}

/** A layer that normalises: its weight is a vector. */
export interface NormLayer extends Leaf {
  readonly tensors: Readonly<Record<string, Tensor>>;
}

const LLAMA = ["input_layernorm", "post_attention_layernorm", "norm"];
const GEMMA = [
  ...["input_layernorm", "post_attention_layernorm"],
  ...["pre_feedforward_layernorm", "post_feedforward_layernorm", "norm"],
];

/** PEFT's choice for the types that it knows (`utils/constants.py`, 0.21). */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  llama: LLAMA,
  mistral: LLAMA,
  gemma: LLAMA,
  gemma2: GEMMA,
  gemma3_text: GEMMA,
  qwen2: ["post_attention_layernorm"],
  qwen3: ["post_attention_layernorm"],
  gpt2: ["ln_1", "ln_2", "ln_f"],
};

const RULES: Rules<LnTuningOptions> = {
  targetModules: SITE_RULES.targetModules,
  excludeModules: SITE_RULES.excludeModules,
  modulesToSave: SITE_RULES.modulesToSave,
  trainHead: SITE_RULES.trainHead,
};

/**
 * LN tuning: copies of the norms' weights and biases are trained, and nothing else. Zhao et al. 2023, arXiv 2312.11420; as in
 * PEFT `tuners/ln_tuning/layer.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function lnTuning(options: LnTuningOptions = {}): LnTuning {
  checkOptions("lnTuning", options, RULES);
  const targetsIn = targetsByType("lnTuning", options.targetModules, TARGETS);
  return {
    type: "LN_TUNING",
    options,
    targetsIn,
    sites: (model) => findSites("lnTuning", model, { ...options, targetModules: targetsIn(model) }, isNorm),
    saved: (model) => findWhole(model, options),
    tensors: (site) =>
      Object.fromEntries(
        Object.entries((site as NormLayer).tensors).map(([name, own]) => [
          name,
          { shape: own.shape, begin: () => castToFloat(own) },
        ]),
      ),
    copies: ({ tensors }) => tensors,
    merge: ({ tensors }) =>
      Object.fromEntries(Object.entries(tensors).map(([name, copy]) => [name, () => castToFloat(copy)])),
  };
}

/** Whether a module normalises: of all with tensors, only norms have a vector as their weight. */
export function isNorm(module: Module): module is NormLayer {
  return isLeaf(module) && module.tensors.weight?.shape.length === 1;
}
