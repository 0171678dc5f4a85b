import type { Tensor } from "../gpu/tensor.ts";
import { sumLosses } from "../kernels/cross-entropy.ts";
import { biasGradient } from "../kernels/elementwise.ts";
import {
  type JudgedLossOptions,
  judgedLosses,
  type PairLossOptions,
  type PreferenceResult,
  pairLosses,
  type Scores,
} from "../kernels/preference.ts";
import { passOnTimes, type Tape } from "./tape.ts";

/** A summed loss, and sums of what is measured. */
export interface PreferenceLoss {
  /** `[1]` */
  readonly loss: Tensor;
  /** `[MEASURES]` */
  readonly measured: Tensor;
}

/** The sum of one or more losses over pairs of answers. Gradients go to the policy's scores. */
export function pairLoss(
  tape: Tape | undefined,
  scores: Scores,
  losses: readonly PairLossOptions[],
): PreferenceLoss {
  let result: PreferenceResult | undefined;
  for (const options of losses) result = pairLosses(scores, options, result);
  return summed(tape, scores, result as PreferenceResult);
}

/** The sum of a loss over answers that were judged by themselves; see {@link judgedLosses}. */
export function judgedLoss(
  tape: Tape | undefined,
  scores: Scores,
  kl: Tensor | undefined,
  options: JudgedLossOptions,
): PreferenceLoss {
  return summed(tape, scores, judgedLosses(scores, kl, options));
}

function summed(
  tape: Tape | undefined,
  { policy }: Scores,
  { losses, gradient, measured }: PreferenceResult,
): PreferenceLoss {
  const loss = sumLosses(losses);
  tape?.record(loss, [policy], [gradient], (dy, give) => {
    give(policy, (into) => passOnTimes(gradient, dy, into));
  });
  return { loss, measured: biasGradient(measured) };
}
