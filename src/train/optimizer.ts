import { one } from "../autograd/tape.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { fill } from "../kernels/elementwise.ts";
import { judgeStep } from "../kernels/gradient-norm.ts";
import { allocateLike, type Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { LORA_LEARNING_RATE } from "./learning-rate.ts";
import type { Updater } from "./optimizers/method.ts";
import { methodOf, type OptimizerName } from "./optimizers/registry.ts";
import {
  checkRates,
  type PeakRate,
  parameterRates,
  RATE_DEFAULTS,
  type RateOptions,
} from "./parameter-rates.ts";

/** Options of the optimiser; names and meaning as in PyTorch and transformers. */
export interface OptimizerOptions extends RateOptions {
  /** `adamw` unless given. */
  optimizer?: OptimizerName;
  /** Decay of the running mean of gradients and of their squares; 0.9 and 0.999 unless given, Lion's 0.9 and 0.99. */
  betas?: readonly [number, number];
  /** Added to the root of AdamW's mean square; 1e-8 unless given. */
  eps?: number;
  /** Share of the momentum that is kept: SGD's, 0 unless given, and Muon's, 0.95. */
  momentum?: number;
  /** Look ahead by one momentum: SGD's, false unless given, and Muon's, true. */
  nesterov?: boolean;
  /**
   * Every step multiplies the parameters by 1 − rate · weightDecay, all but norms and biases; 0 unless given, as in
   * transformers. SGD's is added to the gradient.
   */
  weightDecay?: number;
  /** Gradients are scaled down to this global norm; 1 unless given, 0 switches clipping off. */
  maxGradNorm?: number;
}

/** Options that have no value of their own where none is given: it is the method's. */
type Open = "betas" | "eps" | "momentum" | "nesterov" | "loraplusLrEmbedding";

/** What holds where nothing is said: transformers' values. */
export const OPTIMIZER_DEFAULTS: Required<Omit<OptimizerOptions, Open>> = {
  optimizer: "adamw",
  weightDecay: 0,
  maxGradNorm: 1,
  ...RATE_DEFAULTS,
};

/** The outcome of no step: the next one counts. */
const UNJUDGED = Float32Array.of(0, 1);

/**
 * Updates parameters that lie in one flat buffer by the sums of gradients that backward passes leave: a few dispatches a step,
 * whatever the number of tensors. Gradient norm and clipping stay on the device.
 */
export class Optimizer {
  /** Where backward passes add the gradient of each parameter. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  /** `[n]`: the same, all of them. */
  readonly flatGradients: Tensor;
  readonly name: OptimizerName;
  /** Updates so far, without the skipped ones: Optimizer's bias corrections depend on it. */
  updates = 0;
  readonly #parameters: Parameters;
  readonly #maxGradNorm: number;
  readonly #outcome: Tensor;
  readonly #rates: Tensor;
  readonly #updater: Updater;

  /** @throws LoraError for parameters that must not be trained, and for rates that none of them would have */
  constructor(parameters: Parameters, given: OptimizerOptions & Partial<PeakRate> = {}) {
    const { flat, locked } = parameters;
    if (locked) fail("train", locked.why, locked.help);
    checkRates(parameters, given);
    const options = { learningRate: LORA_LEARNING_RATE, ...OPTIMIZER_DEFAULTS, ...given };
    const { device } = flat;
    one(device); // made by the first backward pass, it would lie where later steps have something else
    const { flat: gradients, views } = allocateLike(parameters);
    this.#parameters = parameters;
    this.gradients = views;
    this.flatGradients = gradients;
    this.name = options.optimizer;
    this.#maxGradNorm = options.maxGradNorm;
    [this.#outcome, this.#rates, this.#updater] = device.memory.persistent(() => {
      const outcome = fromArray(device, UNJUDGED, [2]);
      const rates = parameterRates(parameters, options);
      const inputs = { parameters: flat, gradients, outcome, rates, layout: parameters };
      return [outcome, rates, methodOf(options.optimizer).create(inputs, options)] as const;
    });
  }

  /** What the method remembers from step to step, by name. */
  get state(): Readonly<Record<string, Tensor>> {
    return this.#updater.state;
  }

  /** Sets all gradients to 0. */
  zeroGradients(): void {
    fill(this.flatGradients, 0);
  }

  /**
   * Updates the parameters from the accumulated gradients of a summed loss. A loss or gradient that is not finite changes
   * nothing on the device, and nor does any step that is recorded before the host knows of it and calls {@link takeBack}.
   * @param loss `[1]`: the sum
   * @param terms of that sum
   * @param scale what its gradients are multiplied by
   * @returns `[2]`: the norm of the mean's gradient before clipping, and the factor that the sum's was multiplied by (0 where
   * the step was skipped); the next step writes over it
   */
  step(loss: Tensor, terms: number, learningRate: number, scale = 1): Tensor {
    const sums = { gradients: this.flatGradients, loss, terms: terms * scale };
    judgeStep({ ...sums, maxNorm: this.#maxGradNorm }, this.#outcome);
    this.#parameters.updates = (this.#parameters.updates ?? 0) + 1;
    this.#updater.update({ learningRate, step: ++this.updates });
    return this.#outcome;
  }

  /**
   * Doesn't count the last steps, which the device has skipped: the next one is as if they had not been. PyTorch's
   * GradScaler gets the same by not calling `step()`.
   */
  takeBack(steps = 1): void {
    this.updates -= steps;
    this.#outcome.write(UNJUDGED);
  }

  /** Frees the optimiser's state. */
  release(): void {
    const { state, fixed = [] } = this.#updater;
    for (const { device, storage } of [
      this.flatGradients,
      this.#outcome,
      this.#rates,
      ...fixed,
      ...Object.values(state),
    ])
      device.memory.release(storage);
  }
}
