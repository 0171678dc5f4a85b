import { scaleColumns } from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import { sumSegments } from "../../autograd/token-losses.ts";
import { empty, fromArray, scoped, type Tensor } from "../../gpu/tensor.ts";
import type { ValueWindow } from "../../kernels/segments.ts";
import type { LanguageModel } from "../../models/model.ts";
import { headTokenLosses } from "../../nn/head-token-losses.ts";
import { uploadTokens } from "../language-modelling.ts";
import type { PassContext } from "../objective.ts";
import type { AnswerBatch } from "./answer-batch.ts";

/** What a model says of answers. */
export interface AnswerScores {
  /** The batch's sums `[S]`: log p of each answer first. */
  readonly sums: Tensor;
  /** Logits of each answer's tokens, mean over the vocabulary and summed as its log p are, `[answers]`. */
  readonly logits: Tensor;
}

/** Scores the answers of a batch by a model through its adapters. */
export function scoreAnswers(model: LanguageModel, batch: AnswerBatch, context: PassContext): AnswerScores {
  const { device, head, headOptions, adapters } = model;
  const { answers, targets, ranges, factors } = batch;
  const { ids, ...tokens } = uploadTokens(model, batch);
  const pass = { adapters: adapters.activeFor(ids, tokens.geometry), ...context, ...tokens };
  const means = empty(device, [targets.labels.length]);
  const windows = headTokenLosses(head, model.hidden(ids, pass), targets, pass, headOptions, means);
  const segments = {
    ranges: fromArray(device, ranges, [factors.length, 2]),
    factors: fromArray(device, factors, [factors.length]),
  };
  const ofAnswers = {
    ranges: fromArray(device, ranges.slice(0, 2 * answers), [answers, 2]),
    factors: fromArray(
      device,
      factors.slice(0, answers).map((factor) => -factor),
      [answers],
    ),
  };
  return {
    sums: sumSegments(context.tape, weighted(context.tape, windows, batch.tokenWeights), segments),
    logits: sumSegments(undefined, [{ values: means, start: 0 }], ofAnswers),
  };
}

/** The tokens' losses, each times its weight. */
function weighted(
  tape: Tape | undefined,
  windows: readonly ValueWindow[],
  weights: Float32Array | undefined,
): readonly ValueWindow[] {
  if (!weights) return windows;
  return windows.map(({ values, start }) => {
    const factors = fromArray(values.device, weights.slice(start, start + values.size), [values.size]);
    return { values: scaleColumns(tape, values, factors), start };
  });
}

/** log p of a batch's answers by a model that does not learn, `[answers]`. */
export function referenceScores(model: LanguageModel, batch: AnswerBatch): Tensor {
  return scoped(model.device, () => {
    const { sums } = scoreAnswers(model, batch, { training: false, seed: 0 });
    return sums.reshape([sums.size]).slice(0, batch.answers);
  });
}
