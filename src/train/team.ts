import type { Tensor } from "../gpu/tensor.ts";
import type { Parameters } from "../nn/parameters.ts";
import { Exchange } from "./exchange.ts";
import { OuterSteps } from "./outer-steps.ts";
import type { Peers, Traffic } from "./peers.ts";
import type { TrainState } from "./state.ts";
import type { RunSettings } from "./trainer-options.ts";

/** What a run is told of the processes that train with it. */
export type TeamOptions = Pick<
  RunSettings,
  "gradientWire" | "syncEvery" | "outerLearningRate" | "outerMomentum"
>;

/** The processes of a run, which take every step together, or every so many. */
export class Team {
  readonly #peers: Peers;
  readonly #exchange: Exchange;
  readonly #outer: OuterSteps | undefined;
  #told: Traffic;

  constructor(peers: Peers, parameters: Parameters, options: TeamOptions) {
    const {
      gradientWire,
      syncEvery: every,
      outerLearningRate: learningRate,
      outerMomentum: momentum,
    } = options;
    this.#peers = peers;
    this.#exchange = new Exchange(peers, gradientWire);
    this.#outer = every > 1 ? new OuterSteps(parameters, { every, learningRate, momentum }) : undefined;
    this.#told = peers.traffic;
  }

  /** Joins the gradients of every step; undefined where each takes steps of its own. */
  get everyStep(): Exchange | undefined {
    return this.#outer ? undefined : this.#exchange;
  }

  /** What the steps that all take together need to go on, by name. */
  get state(): Readonly<Record<string, Tensor>> {
    return this.#outer?.state ?? {};
  }

  /** Puts the state of rank 0 in the place of every other. */
  async begin(state: TrainState): Promise<void> {
    await this.#exchange.begin(state);
    await this.#outer?.begin();
  }

  /** Whether the processes meet behind a step that each has taken on its own. */
  meetsAfter(step: number, totalSteps: number): boolean {
    return this.#outer?.isDue(step, totalSteps) === true;
  }

  /**
   * Takes a step together, behind one that each has taken on its own.
   * @param stops whether this process wants the run to end
   * @returns whether one of them does
   */
  async meet(stops: boolean): Promise<boolean> {
    await this.#outer?.meet(this.#exchange, this.#peers.size);
    return this.#exchange.stops(stops);
  }

  /** What was sent since it was last asked. */
  takeTraffic(): Traffic {
    const { bytes, seconds } = this.#peers.traffic;
    const before = this.#told;
    this.#told = { bytes, seconds };
    return { bytes: bytes - before.bytes, seconds: seconds - before.seconds };
  }

  /** Frees its tensors. */
  release(): void {
    this.#outer?.release();
  }
}
