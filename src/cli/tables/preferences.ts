import { DIVERGENCES } from "../../kernels/preference.ts";
import { CPO_DEFAULTS } from "../../train/preferences/cpo.ts";
import { DPO_DEFAULTS, DPO_LOSSES, PREFERENCE_BOUNDS } from "../../train/preferences/dpo.ts";
import { KTO_DEFAULTS } from "../../train/preferences/kto.ts";
import { choice, flag, numbers, optionalNumber, texts } from "../options.ts";

/** How which answers are better is learnt; names are those of TRL's configurations. */
export const PREFERENCE_OPTIONS = {
  loss_type: texts({
    placeholder: "name",
    help: `of dpo one or more of ${DPO_LOSSES.join(", ")}; of cpo sigmoid, hinge, ipo or simpo; of kto kto or apo_zero_unpaired`,
  }),
  loss_weights: numbers({
    ...PREFERENCE_BOUNDS.weight,
    help: "of dpo, a factor for each of several losses, by default 1",
  }),
  beta: optionalNumber({
    ...PREFERENCE_BOUNDS.beta,
    help: `of dpo and kto, how near the model stays to the reference; of orpo, the factor of the odds; by default ${DPO_DEFAULTS.beta}, of simpo 2`,
  }),
  label_smoothing: optionalNumber({
    ...PREFERENCE_BOUNDS.smoothing,
    help: "share of pairs that are taken to be the wrong way round: of dpo with robust, exo_pair or aot, of cpo and simpo",
  }),
  f_divergence_type: choice({
    choices: DIVERGENCES,
    fallback: undefined,
    help: `of dpo, what keeps the model near the reference, by default ${DPO_DEFAULTS.fDivergenceType}`,
  }),
  f_alpha_divergence_coef: optionalNumber({
    ...PREFERENCE_BOUNDS.alpha,
    help: `of dpo, the alpha of alpha_divergence, by default ${DPO_DEFAULTS.fAlphaDivergenceCoef}`,
  }),
  ld_alpha: optionalNumber({
    ...PREFERENCE_BOUNDS.share,
    help: "of dpo, how much the tokens of an answer count that are beyond the other's length, by default as all others",
  }),
  discopop_tau: optionalNumber({
    ...PREFERENCE_BOUNDS.tau,
    help: `of dpo, the temperature of discopop, by default ${DPO_DEFAULTS.discopopTau}`,
  }),
  cpo_alpha: optionalNumber({
    ...PREFERENCE_BOUNDS.weight,
    help: `of cpo and simpo, the factor of the chosen answers' own loss, by default ${CPO_DEFAULTS.cpoAlpha}, of simpo 0`,
  }),
  simpo_gamma: optionalNumber({
    ...PREFERENCE_BOUNDS.weight,
    help: `of simpo, by how much the chosen answer is to be ahead, by default ${CPO_DEFAULTS.simpoGamma}`,
  }),
  desirable_weight: optionalNumber({
    ...PREFERENCE_BOUNDS.weight,
    help: `of kto, the factor of desirable answers, by default ${KTO_DEFAULTS.desirableWeight}`,
  }),
  undesirable_weight: optionalNumber({
    ...PREFERENCE_BOUNDS.weight,
    help: `of kto, the factor of undesirable answers, by default ${KTO_DEFAULTS.undesirableWeight}`,
  }),
  center_rewards_coefficient: optionalNumber({
    ...PREFERENCE_BOUNDS.weight,
    help: "of reward, what keeps the mean reward near 0, such as 0.01; by default 0",
  }),
  precompute_ref_log_probs: flag({
    fallback: false,
    help: "of dpo and kto, ask the reference once before the first step, not in every epoch",
  }),
  disable_dropout: flag({
    fallback: true,
    help: "where answers are compared, leave out the adapter's dropout while training, as TRL does",
  }),
  padding_free: flag({
    fallback: false,
    help: "put all answers of a batch into one row, so that nothing is padded",
  }),
};
