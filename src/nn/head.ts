import {
  type HeadOptions,
  headLogits,
  type LossOptions,
  linearCrossEntropy,
  type Targets,
} from "../autograd/loss.ts";
import * as ops from "../autograd/ops.ts";
import { scoredCrossEntropy } from "../autograd/scored-loss.ts";
import type { Tape } from "../autograd/tape.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import type { Linear } from "./linear.ts";
import { type Context, call, tensorsOf } from "./module.ts";

/** The summed loss `[1]` of the labelled rows of hidden states `[..., d]`, through the adapters of the pass. */
export function headLoss(
  head: Linear,
  hidden: Tensor,
  targets: Targets,
  context: Context,
  options: LossOptions = {},
): Tensor {
  const { tape } = context;
  if (!isWrapped(head, context)) {
    const { weight, bias } = tensorsOf(head, context);
    return linearCrossEntropy(tape, hidden, weight, targets, { ...options, bias });
  }
  if (context.adapters?.byRows) {
    const got = "an adapter of the output layer, and the loss sees its labelled tokens only";
    fail("withRowAdapters", got, "train such an adapter in batches of its own: withAdapters");
  }
  const { logitScale = 1, ...rest } = options;
  const scoresOf = (rows: Tensor, tape: Tape | undefined) => {
    const scores = call(head, rows, { ...context, tape });
    return logitScale === 1 ? scores : ops.scale(tape, scores, logitScale);
  };
  return scoredCrossEntropy(tape, hidden, targets, scoresOf, { ...rest, classes: head.outFeatures });
}

/** Whether an adapter of the pass surrounds an output layer, so that its matrix alone does not give the scores. */
export function isWrapped(head: Linear, { adapters }: Pick<Context, "adapters">): boolean {
  return adapters?.wraps.has(head) ?? false;
}

/** A pass over rows that are chosen from a batch: no module for single rows reads where their tokens stand. */
export function rowContext(context: Partial<Context>): Context {
  return { training: false, seed: 0, ...context } as Context;
}

/** Scores `[..., V]` of hidden states `[..., d]` by the output layer, through the adapters of the pass. */
export function headScores(
  head: Linear,
  hidden: Tensor,
  context: Partial<Context> = {},
  options: HeadOptions = {},
): Tensor {
  const { tape } = context;
  if (!isWrapped(head, context)) {
    const { weight, bias } = tensorsOf(head, context);
    return headLogits(tape, hidden, weight, { ...options, bias });
  }
  const { logitScale = 1, logitSoftcap = 0 } = options;
  const scores = call(head, hidden, rowContext(context));
  const scaled = logitScale === 1 ? scores : ops.scale(tape, scores, logitScale);
  return logitSoftcap === 0 ? scaled : ops.softcap(tape, scaled, logitSoftcap);
}
