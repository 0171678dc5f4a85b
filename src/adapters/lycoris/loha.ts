import { type HadamardFactors, hadamardLinear, hadamardWeight } from "../../autograd/hadamard.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { addInto } from "../../kernels/elementwise.ts";
import type { Linear } from "../../nn/linear.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, flag, type Rules, withDefaults } from "../../util/options.ts";
import { kaimingUniform } from "../lora/initial/kaiming.ts";
import type { Site } from "../method.ts";
import {
  addUpdate,
  LYCORIS_DEFAULTS,
  LYCORIS_RULES,
  type Lycoris,
  type LycorisOptions,
  lycorisChoice,
} from "./lycoris.ts";

/** Options of LoHa; names and meaning as in PEFT's LoHaConfig, in camel case. */
export interface LohaOptions extends LycorisOptions {
  /** The update begins as zero; true unless given. */
  initWeights?: boolean;
}

const DEFAULTS = { ...LYCORIS_DEFAULTS, initWeights: true };
const RULES: Rules<LohaOptions> = { ...LYCORIS_RULES, initWeights: flag("init_weights") };

/** LoHa with all options settled. */
export interface Loha extends Lycoris {
  /** PEFT's `peft_type`. */
  readonly type: "LOHA";
  /** As given, with the defaults filled in. */
  readonly options: LohaOptions & Required<Pick<LohaOptions, keyof typeof DEFAULTS>>;
}

/**
 * Low-rank Hadamard product: y = W x + s · ((A₁ B₁) ⊙ (A₂ B₂)) x with A `[out, r]` and B `[r, in]`, s = alpha / r: an update of
 * rank r² with twice LoRA's parameters. Hyeon-Woo et al. 2022 (FedPara), arXiv 2108.06098; as in PEFT `tuners/loha/layer.py`.
 * @throws LoraError for an option that there is not, a value that is not wanted, and a pattern that is no expression
 */
export function loha(given: LohaOptions = {}): Loha {
  checkOptions("loha", given, RULES);
  const options = withDefaults(DEFAULTS, given);
  const choice = lycorisChoice("loha", options, RULES);
  const { rankOf } = choice;
  const scaleOf = (path: string) => rankOf(path).alpha / rankOf(path).r;
  return {
    type: "LOHA",
    options,
    ...choice,
    tensors(site) {
      const { inFeatures, outFeatures, path } = site as Linear;
      const { r } = rankOf(path);
      return {
        hada_w1_a: kaimingUniform([outFeatures, r]),
        hada_w1_b: kaimingUniform([r, inFeatures]),
        hada_w2_a: kaimingUniform([outFeatures, r]),
        hada_w2_b: options.initWeights ? { shape: [r, inFeatures] } : kaimingUniform([r, inFeatures]),
      };
    },
    scales: true,
    wrap(site, given) {
      const factors = factorsOf(site);
      return addUpdate((tape, x) => hadamardLinear(tape, x, factors), given, {
        ...options,
        scaled: true,
        scale: scaleOf(site.module.path),
        outFeatures: (site.module as Linear).outFeatures,
      });
    },
    merge: (site) => ({
      weight: () =>
        addInto(
          hadamardWeight(factorsOf(site), scaleOf(site.module.path)),
          castToFloat((site.module as Linear).weight),
        ),
    }),
  };
}

function factorsOf({ module, tensors }: Site): HadamardFactors {
  const { hada_w1_a: a1, hada_w1_b: b1, hada_w2_a: a2, hada_w2_b: b2 } = tensors;
  if (!a1 || !b1 || !a2 || !b2) fail(module.path, "a tensor of hada_w1 or hada_w2 is missing");
  return { a1, b1, a2, b2 };
}
