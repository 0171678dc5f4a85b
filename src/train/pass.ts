import { one, Tape, type TapeOptions } from "../autograd/tape.ts";
import type { Replay } from "../gpu/replay.ts";
import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import type { LossShape } from "../kernels/cross-entropy.ts";
import { addInto, zeros } from "../kernels/elementwise.ts";
import type { Precision } from "../nn/module.ts";
import { leavesOf, type Parameters } from "../nn/parameters.ts";
import type { Counted, Objective, PassContext } from "./objective.ts";

/** How gradients are computed. */
export interface PassOptions {
  /** Seeds dropout; the same seed repeats the pass. */
  seed: number;
  /** Keep only the input of every layer and recompute the rest (gradient checkpointing). */
  checkpoint?: boolean;
  /** In how many bits the rest is kept for the backward pass; see {@link TapeOptions}. */
  activationBits?: TapeOptions["activationBits"];
  /** What activations lie in; see {@link Precision}. */
  precision?: Precision;
  /** What the gradients are multiplied by, so that small ones are not lost in f16; 1 unless given. */
  lossScale?: number;
  /** NEFTune's alpha. */
  embeddingNoise?: number | undefined;
  /** What the loss is beside −log p of the label. */
  lossShape?: LossShape;
  /** Where there is one, it launches passes that are much alike. */
  replay?: Replay | undefined;
  /** Told what each micro-batch measures; the tensor is gone when it returns. */
  report?: ((sums: Tensor) => void) | undefined;
}

/** What passes of training compute from. */
type Trained<B extends Counted> = Pick<Objective<never, B>, "device" | "loss" | "placing">;

/**
 * Forward and backward over the micro-batches of one optimiser step: adds to `gradients` the gradient of their summed
 * loss, times the scale of it. Four sequences at once or one by one give the same, and so do several processes that add up what each has found:
 * the optimiser divides by the terms of all. A penalty of the parameters counts as often as there are terms.
 * @returns the summed loss `[1]`
 */
export function accumulateGradients<B extends Counted>(
  objective: Trained<B>,
  parameters: Parameters,
  gradients: ReadonlyMap<Tensor, Tensor>,
  batches: readonly B[],
  given: PassOptions,
): Tensor {
  const { device } = objective;
  const { seed, lossScale = 1 } = given;
  const dy = lossScale === 1 ? one(device) : fromArray(device, Float32Array.of(lossScale), [1]);
  let total: Tensor | undefined;
  for (const [i, batch] of batches.entries()) {
    total = scoped(device, () => {
      const options = { ...given, seed: seed + i };
      const sum = passOver(objective, batch, { parameters, gradients, dy, options });
      return total ? addInto(total, sum) : sum;
    });
  }
  const sum = total ?? zeros(device, [1]);
  if (!parameters.penalty) return sum;
  // The loss is a sum over terms, and the optimiser divides by them.
  const terms = batches.reduce((all, batch) => all + batch.terms, 0);
  return addInto(sum, parameters.penalty(terms, gradients));
}

interface PassGiven {
  readonly parameters: Parameters;
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  /** `[1]`: the gradient of the loss with respect to itself. */
  readonly dy: Tensor;
  readonly options: PassOptions;
}

/** Forward and backward over one batch, as they were recorded before where that is the same. */
function passOver<B extends Counted>(
  { loss, placing }: Pick<Trained<B>, "loss" | "placing">,
  batch: B,
  given: PassGiven,
): Tensor {
  const { parameters, gradients, dy, options } = given;
  const { replay, checkpoint, activationBits, precision, embeddingNoise, lossShape = {} } = options;
  if (!replay || placing?.of !== loss) return goThrough((context) => loss(batch, context), given);
  const { key, inputs, loss: lossOf } = placing.place(batch);
  const pass = () => goThrough(lossOf, given);
  if (!key) return pass();
  const { labelSmoothing, zLoss } = lossShape;
  const chosen = [checkpoint, activationBits, precision, embeddingNoise, labelSmoothing, zLoss];
  return replay.run([...key, parameters, gradients, ...chosen], [...inputs, dy], pass);
}

function goThrough(
  lossOf: (context: PassContext) => Tensor,
  { parameters, gradients, dy, options }: PassGiven,
): Tensor {
  const { seed, checkpoint = false, activationBits, precision, embeddingNoise, lossShape = {} } = options;
  const { report } = options;
  const tape = new Tape({ activationBits });
  for (const leaf of leavesOf(parameters)) tape.watch(leaf);
  const chosen = { checkpoint, precision, embeddingNoise, lossShape, ...(report && { report }) };
  try {
    const loss = lossOf({ tape, training: true, seed, ...chosen });
    if (tape.length > 0) tape.backward(loss, dy, gradients);
    return loss;
  } finally {
    tape.discard(); // nothing is left unless the pass failed
  }
}

/** The summed loss `[1]` of a batch, without gradients. */
export function evaluateBatch<B extends Counted>(
  { device, loss }: Pick<Objective<never, B>, "device" | "loss">,
  batch: B,
  report?: PassOptions["report"],
): Tensor {
  return scoped(device, () => loss(batch, { training: false, seed: 0, ...(report && { report }) }));
}

/** Sums of what batches measure, and what adds to them; nothing where nothing is measured. */
export function measured({ device, measures }: Pick<Objective<never>, "device" | "measures">): {
  readonly sums: readonly Tensor[];
  readonly report: PassOptions["report"];
} {
  if (!measures) return { sums: [], report: undefined };
  const sums = zeros(device, [measures.size]);
  return { sums: [sums], report: (part) => void addInto(sums, part) };
}
