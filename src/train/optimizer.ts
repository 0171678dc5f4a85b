import { one } from "../autograd/tape.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { adamW } from "../kernels/adamw.ts";
import { fill, zeros } from "../kernels/elementwise.ts";
import { judgeStep } from "../kernels/gradient-norm.ts";
import { allocateLike, type Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";

/** Options of AdamW, with PyTorch's meaning. */
export interface AdamWOptions {
  /** Decay of the running mean of gradients and of their squares; 0.9 and 0.999 unless given. */
  betas?: readonly [number, number];
  /** Added to the root of the mean square; 1e-8 unless given. */
  eps?: number;
  /** Decoupled: every step multiplies the parameters by 1 − rate · weightDecay; 0 unless given, as in transformers. */
  weightDecay?: number;
  /** Gradients are scaled down to this global norm; 1 unless given, 0 switches clipping off. */
  maxGradNorm?: number;
}

/** What holds where nothing is said: transformers' values. */
export const ADAMW_DEFAULTS: Required<AdamWOptions> = {
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

/**
 * AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) over one flat buffer: three dispatches a step, whatever
 * the number of tensors. Gradient norm and clipping stay on the device.
 */
export class AdamW {
  /** Where backward passes add the gradient of each parameter. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  readonly #parameters: Parameters;
  readonly #options: Required<AdamWOptions>;
  readonly #flatGradients: Tensor;
  readonly #outcome: Tensor;
  readonly #m: Tensor;
  readonly #v: Tensor;
  /** Updates so far, without the skipped ones, for the bias corrections. */
  #steps = 0;

  /** @throws LoraError for parameters that must not be trained */
  constructor(parameters: Parameters, options: AdamWOptions = {}) {
    const { flat, locked } = parameters;
    if (locked) fail("train", locked.why, locked.help);
    const { flat: gradients, views } = allocateLike(parameters);
    this.#parameters = parameters;
    this.#options = { ...ADAMW_DEFAULTS, ...options };
    this.#flatGradients = gradients;
    this.gradients = views;
    const { device, shape } = flat;
    one(device); // made by the first backward pass, it would lie where later steps have something else
    [this.#m, this.#v, this.#outcome] = device.memory.persistent(
      () => [zeros(device, shape), zeros(device, shape), fromArray(device, UNJUDGED, [2])] as const,
    );
  }

  /** Sets all gradients to 0. */
  zeroGradients(): void {
    fill(this.#flatGradients, 0);
  }

  /**
   * Updates the parameters from the accumulated gradients of a summed loss. A loss or gradient that is not finite changes
   * nothing on the device, and nor does any step that is recorded before the host knows of it and calls {@link takeBack}.
   * @param loss `[1]`: the sum
   * @param terms of that sum
   * @returns `[2]`: the norm of the mean's gradient before clipping, and the factor that the sum's was multiplied by (0 where
   * the step was skipped); the next step writes over it
   */
  step(loss: Tensor, terms: number, learningRate: number): Tensor {
    const { betas, eps, weightDecay, maxGradNorm } = this.#options;
    judgeStep({ gradients: this.#flatGradients, loss, terms, maxNorm: maxGradNorm }, this.#outcome);
    const [beta1, beta2] = betas;
    this.#parameters.updates = (this.#parameters.updates ?? 0) + 1;
    adamW(
      {
        parameters: this.#parameters.flat,
        gradients: this.#flatGradients,
        m: this.#m,
        v: this.#v,
        normAndClip: this.#outcome,
      },
      { learningRate, beta1, beta2, eps, weightDecay, step: ++this.#steps },
    );
    return this.#outcome;
  }

  /**
   * Doesn't count the last steps, which the device has skipped, for the bias corrections: the next one is as if they had
   * not been. PyTorch's GradScaler gets the same by not calling `step()`.
   */
  takeBack(steps = 1): void {
    this.#steps -= steps;
    this.#outcome.write(UNJUDGED);
  }

  /** Frees the optimiser's state. */
  release(): void {
    for (const { device, storage } of [this.#flatGradients, this.#outcome, this.#m, this.#v])
      device.memory.release(storage);
  }
}

/** The outcome of no step: the next one counts. */
const UNJUDGED = Float32Array.of(0, 1);
