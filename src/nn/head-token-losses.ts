import type { HeadOptions, Targets } from "../autograd/loss.ts";
import type { Tape } from "../autograd/tape.ts";
import { tokenLosses } from "../autograd/token-losses.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { ValueWindow } from "../kernels/segments.ts";
import { headScores } from "./head.ts";
import type { Linear } from "./linear.ts";
import type { Context } from "./module.ts";

/**
 * −log p of each label, through the adapters of the pass: f32 windows of the labelled rows, in order.
 * @param means where the mean of each labelled row's logits goes, `[M]`, where it is wanted
 */
export function headTokenLosses(
  head: Linear,
  hidden: Tensor,
  targets: Targets,
  context: Context,
  { logitSoftcap = 0, ...options }: HeadOptions = {},
  means?: Tensor,
): ValueWindow[] {
  const scoresOf = (rows: Tensor, tape: Tape | undefined) =>
    headScores(head, rows, { ...context, tape }, options);
  const scored = { classes: head.outFeatures, logitSoftcap, means };
  return tokenLosses(context.tape, hidden, targets, scoresOf, scored);
}
