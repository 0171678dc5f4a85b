import { fromArray, scoped } from "../gpu/tensor.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { nonFinite } from "../util/finite.ts";
import type { Exchange } from "./exchange.ts";
import { Optimizer } from "./optimizer.ts";

/** How processes that step apart come together. */
export interface OuterOptions {
  /** Steps that each takes on its own. */
  readonly every: number;
  /** Of the steps that all take together. */
  readonly learningRate: number;
  /** Nesterov's, of these. */
  readonly momentum: number;
}

/**
 * Local steps (DiLoCo, arXiv 2311.08105; with rate 1 and no momentum FedAvg, arXiv 1602.05629): each process trains on its own,
 * and now and then the mean of what they have changed is the gradient of one outer step with Nesterov momentum, from where
 * all began.
 */
export class OuterSteps {
  readonly #parameters: Parameters;
  readonly #options: OuterOptions;
  readonly #optimizer: Optimizer;
  /** The parameters behind the last meeting. */
  #start: Float32Array<ArrayBuffer> | undefined;

  constructor(parameters: Parameters, options: OuterOptions) {
    const { momentum } = options;
    this.#parameters = parameters;
    this.#options = options;
    this.#optimizer = new Optimizer(parameters, {
      ...{ optimizer: "sgd", momentum, nesterov: momentum > 0, maxGradNorm: 0 },
    });
  }

  /** What a run needs to go on with, by name. */
  get state(): Optimizer["state"] {
    return this.#optimizer.state;
  }

  /** Begins with the parameters as they are, which are those of all. */
  async begin(): Promise<void> {
    this.#start = await this.#parameters.flat.read();
  }

  /** Whether the processes meet behind a step. */
  isDue(step: number, totalSteps: number): boolean {
    return step % this.#options.every === 0 || step === totalSteps;
  }

  /** Takes the outer step: behind it all have the same parameters. */
  async meet(exchange: Exchange, size: number): Promise<void> {
    const { flat } = this.#parameters;
    const start = this.#start as Float32Array<ArrayBuffer>;
    const own = await flat.read();
    const changes = await exchange.gradients(start.map((value, i) => value - (own[i] as number)));
    if (nonFinite(changes, "f32") !== undefined)
      fail("train", "what the processes have changed is not finite", "train again at a lower learning rate");
    flat.write(start);
    this.#optimizer.flatGradients.write(changes as Float32Array<ArrayBuffer>);
    scoped(flat.device, () => {
      const noLoss = fromArray(flat.device, new Float32Array(1), [1]);
      this.#optimizer.step(noLoss, size, this.#options.learningRate); // the mean of so many
      return undefined;
    });
    await this.begin();
  }

  /** Frees its tensors. */
  release(): void {
    this.#optimizer.release();
  }
}
