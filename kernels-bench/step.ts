// One optimiser step, as the trainer records it.
import type { Batch } from "../src/data/batch.ts";
import type { Replay } from "../src/gpu/replay.ts";
import { scoped, type Tensor } from "../src/gpu/tensor.ts";
import type { LanguageModel } from "../src/models/model.ts";
import { wholeRows } from "../src/nn/geometry.ts";
import type { Parameters } from "../src/nn/parameters.ts";
import { languageModelling } from "../src/train/language-modelling.ts";
import type { Optimizer } from "../src/train/optimizer.ts";
import { accumulateGradients } from "../src/train/pass.ts";

/** What a step trains, and with what. */
export interface StepOptions {
  parameters: Parameters;
  optimizer: Optimizer;
  batch: Batch;
  learningRate: number;
  replay?: Replay;
}

/** Records forward, backward and update; returns the summed loss. */
export function recordStep(
  model: LanguageModel,
  { parameters, optimizer, batch, learningRate, replay }: StepOptions,
): Tensor {
  return scoped(model.device, () => {
    optimizer.zeroGradients();
    const objective = languageModelling(model);
    const pass = { seed: 0, replay };
    const loss = accumulateGradients(objective, parameters, optimizer.gradients, [batch], pass);
    optimizer.step(loss, batch.terms, learningRate);
    return loss;
  });
}

/** A batch of one sequence, each token of which predicts the next. */
export function batchOf(ids: readonly number[]): Batch {
  return {
    inputIds: Uint32Array.from(ids),
    targets: {
      positions: Uint32Array.from(ids.slice(1), (_, at) => at),
      labels: Int32Array.from(ids).slice(1),
    },
    ...wholeRows(1, ids.length),
    tokens: ids.length,
    terms: ids.length - 1,
  };
}
