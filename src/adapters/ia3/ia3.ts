import * as ops from "../../autograd/ops.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { columnScale, rowScale } from "../../kernels/column-scale.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import type { Wrap } from "../../nn/module.ts";
import { fail, failAll } from "../../util/fail.ts";
import { checkOptions, type Rules } from "../../util/options.ts";
import { pythonFullMatch } from "../../util/regexp/python.ts";
import type { Method, Site } from "../method.ts";
import { findSites, type TargetsIn, targetsByType } from "../sites/choose-sites.ts";
import { NAMES_OR_EXPRESSION, SITE_RULES } from "../sites/site-rules.ts";
import type { TargetOptions } from "../sites/targets.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";

type Names = readonly string[] | string;

/** Options of (IA)³; names and meaning as in PEFT's IA3Config, in camel case. */
export interface Ia3Options extends Pick<TargetOptions, "excludeModules">, WholeOptions {
  /** Names or suffixes of linear layers, a full-match regular expression, or `all-linear`; PEFT's choice for the model unless given. */
  targetModules?: Names;
  /** Those of them whose inputs are scaled instead of their outputs: ends of paths, or an expression; the MLPs' last layers unless given. */
  feedforwardModules?: Names;
}

/** (IA)³ with its options. */
export interface Ia3 extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "IA3";
  /** As given. */
  readonly options: Ia3Options;
  /** The targets in a model: those of the options, or PEFT's for its type. */
  readonly targetsIn: TargetsIn;
  /** Whether the layer's input is scaled. */
  isFeedforward(path: string): boolean;
}

/** PEFT's choice for the types that it knows (`utils/constants.py`, 0.21). */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  llama: ["k_proj", "v_proj", "down_proj"],
  mistral: ["k_proj", "v_proj", "down_proj"],
  gemma: ["q_proj", "v_proj", "down_proj"],
  gemma2: ["q_proj", "v_proj", "down_proj"],
  gemma3_text: ["q_proj", "v_proj", "down_proj"],
  qwen2: ["q_proj", "v_proj", "down_proj"],
  qwen3: ["q_proj", "v_proj", "down_proj"],
  opt: ["q_proj", "k_proj", "fc2"],
  gpt2: ["c_attn", "mlp.c_proj"],
  gpt_neox: ["query_key_value", "dense_4h_to_h"],
  bert: ["key", "value", "output.dense"],
  roberta: ["key", "value", "output.dense"],
};

/** What the last layers of MLPs are called in the families that PEFT has a choice for, and in the others here. */
const FEEDFORWARD = ["down_proj", "fc2", "mlp.c_proj", "dense_4h_to_h", "output.dense", "ffn.lin2"];

const RULES: Rules<Ia3Options> = {
  targetModules: SITE_RULES.targetModules,
  feedforwardModules: NAMES_OR_EXPRESSION,
  excludeModules: SITE_RULES.excludeModules,
  modulesToSave: SITE_RULES.modulesToSave,
  trainHead: SITE_RULES.trainHead,
};

/**
 * (IA)³: y = l ⊙ (W x + b) with a factor for each output, or y = W (l ⊙ x) + b at feed-forward layers, with one for each
 * input. Liu et al. 2022, arXiv 2205.05638; as in PEFT `tuners/ia3/layer.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function ia3(options: Ia3Options = {}): Ia3 {
  checkOptions("ia3", options, RULES);
  checkFeedforward(options);
  const { feedforwardModules = FEEDFORWARD, targetModules } = options;
  // PEFT compares the ends of paths here, whether or not a dot comes before (`_check_target_module_feedforward`).
  const isFeedforward =
    typeof feedforwardModules === "string"
      ? pythonFullMatch(feedforwardModules)
      : (path: string) => feedforwardModules.some((name) => path.endsWith(name));
  const targetsIn = targetsByType("ia3", targetModules, TARGETS);
  const shapeAt = ({ path, inFeatures, outFeatures }: Linear) =>
    isFeedforward(path) ? [1, inFeatures] : [outFeatures, 1];
  return {
    type: "IA3",
    options,
    targetsIn,
    isFeedforward,
    sites: (model) => findSites("ia3", model, { ...options, targetModules: targetsIn(model) }, isLinear),
    saved: (model) => findWhole(model, options),
    tensors(site) {
      const shape = shapeAt(site as Linear);
      return { ia3_l: { shape, begin: () => new Float32Array((shape[0] ?? 1) * (shape[1] ?? 1)).fill(1) } };
    },
    wrap: ({ module, tensors }) => ia3Wrap(factorsOf(module.path, tensors.ia3_l), isFeedforward(module.path)),
    merge: (site) => merged(site, isFeedforward(site.module.path)),
  };
}

function ia3Wrap(factors: Tensor, isInput: boolean): Wrap {
  if (isInput) return (x, context, next) => next(ops.scaleColumns(context.tape, x, factors), context);
  return (x, context, next) => ops.scaleColumns(context.tape, next(x, context), factors);
}

/** The weight with its columns scaled, or its rows and the bias. */
function merged({ module, tensors }: Site, isInput: boolean): Record<string, () => Tensor> {
  const { weight, bias, path } = module as Linear;
  const factors = factorsOf(path, tensors.ia3_l);
  if (isInput) return { weight: () => columnScale(castToFloat(weight), factors) };
  return {
    weight: () => rowScale(castToFloat(weight), factors),
    ...(bias && { bias: () => columnScale(bias, factors) }),
  };
}

function factorsOf(path: string, factors: Tensor | undefined): Tensor {
  return factors ?? fail(path, "ia3_l is missing");
}

/** As PEFT's configuration demands it. */
function checkFeedforward({ feedforwardModules, targetModules }: Ia3Options): void {
  if (!Array.isArray(feedforwardModules) || !Array.isArray(targetModules)) return;
  const others = feedforwardModules.filter((name) => !targetModules.includes(name));
  const problems = others.map(
    (name) => `feedforwardModules has ${JSON.stringify(name)}, which targetModules lacks`,
  );
  failAll("ia3", problems, "name it in both");
}
