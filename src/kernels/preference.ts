import shader from "../../shaders/preference.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";

/** Losses of a pair of answers that are scored by a reference, too: those of DPO, by TRL's names. */
export const REFERENCED_LOSSES = [
  "sigmoid",
  "hinge",
  "ipo",
  "robust",
  "exo_pair",
  "nca_pair",
  "bco_pair",
  "sppo_hard",
  "apo_zero",
  "apo_down",
  "discopop",
  "sigmoid_norm",
  "aot",
  "aot_unpaired",
] as const;

/** Losses of a pair of answers; the place of each is the shader's `LOSS`. */
export const PAIR_LOSSES = [...REFERENCED_LOSSES, "orpo", "reward", "none"] as const;

/** One of {@link PAIR_LOSSES}. */
export type PairLoss = (typeof PAIR_LOSSES)[number];

/** What model and reference are kept near each other by, by TRL's names; the place of each is the shader's `DIVERGENCE`. */
export const DIVERGENCES = ["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] as const;

/** One of {@link DIVERGENCES}. */
export type Divergence = (typeof DIVERGENCES)[number];

/** What is measured of each pair, or answer, in the order of the shader's columns; sums of them make the means. */
export const MEASURES = [
  "rewardsChosen",
  "rewardsRejected",
  /** Pairs whose chosen answer has the higher reward; of judged answers the desirable ones. */
  "hits",
  "logpsChosen",
  "logpsRejected",
  "logitsChosen",
  "logitsRejected",
  /** Mean −log p of the chosen answers of the batch, for each pair; of judged answers the KL divergence of the batch. */
  "shared",
  "logOddsRatio",
  "logOddsChosen",
  "tokensChosen",
  "tokensRejected",
  "count",
  "batches",
  /** Lowest score of the batch, and the highest. */
  "lowest",
  "highest",
] as const;

/** Names of the sums. */
export type Measure = (typeof MEASURES)[number];

/** The scores of a batch: chosen answers before the rejected ones, `[2N]`, or of single answers `[N]`. */
export interface Scores {
  /** log p of the answers by the model, summed or meant over their tokens; where `nll` is given the mean −log p of the chosen ones behind them. */
  readonly policy: Tensor;
  /** The same by the reference; zeros where there is none; of reward models the margins of the chosen ones. */
  readonly reference: Tensor;
  /** Tokens of the answers; of undesirable ones the negative. */
  readonly tokens: Tensor;
  /** Logits of the answers' tokens, mean over the vocabulary and summed over the tokens. */
  readonly logits: Tensor;
}

/** How a loss of pairs is computed. */
export interface PairLossOptions {
  readonly loss: PairLoss;
  /** Factor of this loss among several. */
  readonly weight: number;
  readonly beta: number;
  /** Share of pairs that are the wrong way round. */
  readonly smoothing: number;
  /** Taken from the sigmoid's argument. */
  readonly shift: number;
  /** DiscoPOP's temperature. */
  readonly tau: number;
  /** Factor of the squared sum of a pair's rewards. */
  readonly center: number;
  /** Factor of the chosen answers' mean −log p; 0: none. */
  readonly nll: number;
  /** `reverse_kl` unless given. */
  readonly divergence?: Divergence;
  /** Of the α-divergence, other than 1; 0.5 unless given. */
  readonly alpha?: number;
}

/** A loss for each pair or answer, its gradient, and what is measured. */
export interface PreferenceResult {
  /** `[N]` */
  readonly losses: Tensor;
  /** Of Σ losses with respect to `policy`. */
  readonly gradient: Tensor;
  /** `[N, MEASURES]` */
  readonly measured: Tensor;
}

/** Losses of pairs. `into` is what another loss of the same pairs gave, to which this one is added. */
export function pairLosses(
  scores: Scores,
  options: PairLossOptions,
  into?: PreferenceResult,
): PreferenceResult {
  const { policy, reference, tokens, logits } = scores;
  const { loss, beta, smoothing, shift, tau, center, weight, nll } = options;
  const { divergence = "reverse_kl", alpha = 0.5 } = options;
  const count = tokens.size / 2;
  checkSizes("pairLosses", scores, nll !== 0 ? 1 : 0);
  const result = into ?? outputs(policy, count);
  policy.device.run(shader, "pairs", {
    bind: {
      policy,
      given: reference,
      tokens,
      logits,
      loss: result.losses,
      gradient: result.gradient,
      measured: result.measured,
    },
    params: {
      ...{ count, beta, smoothing, shift, tau, center, weight, nll },
      ...{ desirable: 0, undesirable: 0, alpha: alpha - 1 },
    },
    constants: {
      LOSS: PAIR_LOSSES.indexOf(loss),
      DIVERGENCE: DIVERGENCES.indexOf(divergence),
      ACCUMULATE: into !== undefined,
      NLL: nll !== 0,
      MEASURES: MEASURES.length,
    },
    grid: [Math.ceil(count / 64)],
  });
  return result;
}

/** How a loss of judged answers is computed. */
export interface JudgedLossOptions {
  readonly beta: number;
  readonly desirable: number;
  readonly undesirable: number;
}

/**
 * Losses of answers that were judged by themselves.
 * @param kl log p of answers to other prompts, model minus reference, `[N]`; without it the divergence counts as 0
 */
export function judgedLosses(
  scores: Scores,
  kl: Tensor | undefined,
  { beta, desirable, undesirable }: JudgedLossOptions,
): PreferenceResult {
  const { policy, reference, tokens, logits } = scores;
  const count = tokens.size;
  checkSizes("judgedLosses", scores, 0);
  const result = outputs(policy, count);
  policy.device.run(shader, "judged", {
    bind: {
      ...{ policy, given: reference, tokens, logits, kl: kl ?? logits },
      ...{ loss: result.losses, gradient: result.gradient, measured: result.measured },
    },
    params: {
      ...{ count, beta, smoothing: 0, shift: 0, tau: 0, center: 0, weight: 1, nll: 0 },
      ...{ desirable, undesirable, alpha: 0 },
    },
    constants: { KL: kl !== undefined, MEASURES: MEASURES.length },
    grid: [Math.ceil(count / 64)],
  });
  return result;
}

function outputs({ device, shape }: Tensor, count: number): PreferenceResult {
  return {
    losses: empty(device, [count]),
    gradient: empty(device, shape),
    measured: empty(device, [count, MEASURES.length]),
  };
}

function checkSizes(where: string, { policy, reference, tokens, logits }: Scores, more: number): void {
  const wanted = tokens.size;
  const sizes = [policy.size - more, reference.size, logits.size];
  if (sizes.every((size) => size === wanted)) return;
  fail(where, `there are ${sizes.join(", ")} scores for ${wanted} answers`);
}
