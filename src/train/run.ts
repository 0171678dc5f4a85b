import type { RunState } from "../io/formats/run-state.ts";
import type { TrainState } from "./state.ts";
import type { StepMetrics, TrainerOptions } from "./trainer.ts";

/** The lowest loss of a run's evaluations, and after which step it was. */
export interface BestEvaluation {
  /** Mean loss, nats. */
  readonly loss: number;
  /** From 1. */
  readonly step: number;
}

/** What a run does beside its steps. */
export interface RunPolicy {
  /** Steps between two evaluations; at the end of the run alone where it is 0, as unless given. */
  evalSteps?: number;
  /** Evaluates the model as it is after a step; undefined where that came to nothing. */
  evaluate?(step: number): Promise<{ readonly loss: number } | undefined>;
  /** Steps between two checkpoints; none where it is 0, as unless given. */
  saveSteps?: number;
  /** Keeps the run's state; behind the evaluation of the same step. */
  save?(state: RunState, best: BestEvaluation | undefined): Promise<void>;
  /** Told the metrics of every step. */
  onStep?(metrics: StepMetrics): void | Promise<void>;
  /** Ends the run where it is aborted, after the steps that are under way. */
  signal?: AbortSignal;
  /** The best evaluation so far, of a run that goes on. */
  best?: BestEvaluation | undefined;
}

/** Begins to train: what {@link trainObjective} and its like are, once items and options are given. */
export type BeginTraining = (
  options: Pick<TrainerOptions, "signal" | "settleAfter" | "onStart">,
) => AsyncGenerator<StepMetrics>;

/**
 * A run with its evaluations and checkpoints, which can be paused and stopped: what a command line, a page and a worker have
 * in common. It waits for what is under way where the parameters are looked at, and nowhere else.
 */
export class Run {
  /** The lowest loss of its evaluations so far. */
  best: BestEvaluation | undefined;
  /** The metrics of the last step; undefined before the first. */
  last: StepMetrics | undefined;
  readonly #begin: BeginTraining;
  readonly #policy: RunPolicy;
  readonly #stop = new AbortController();
  #state: TrainState | undefined;
  /** Holds the run while it is paused. */
  #pause: { readonly over: Promise<void>; end(): void } | undefined;

  constructor(begin: BeginTraining, policy: RunPolicy = {}) {
    this.#begin = begin;
    this.#policy = policy;
    this.best = policy.best;
  }

  /** Whether it waits for {@link resume}. */
  get isPaused(): boolean {
    return this.#pause !== undefined;
  }

  /** Trains to the end, or until it is stopped. */
  async start(): Promise<void> {
    const { signal } = this.#policy;
    if (signal?.aborted) this.stop();
    const stop = () => this.stop();
    signal?.addEventListener("abort", stop);
    try {
      for await (const metrics of this.#begin({
        signal: this.#stop.signal,
        settleAfter: (step) => this.isPaused || this.#isEvaluated(step) || this.#isSaved(step),
        onStart: (state) => {
          this.#state = state;
        },
      }))
        await this.#afterStep(metrics);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Holds the run after the steps that are under way, until {@link resume}. */
  pause(): void {
    if (this.#pause) return;
    let end = () => {};
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#pause = { over, end };
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    this.#pause?.end();
    this.#pause = undefined;
  }

  /** Ends the run after the steps that are under way; what was learnt stays. */
  stop(): void {
    this.#stop.abort();
    this.resume();
  }

  #isEvaluated(step: number): boolean {
    const { evaluate, evalSteps = 0 } = this.#policy;
    return evaluate !== undefined && evalSteps > 0 && step % evalSteps === 0;
  }

  #isSaved(step: number): boolean {
    const { save, saveSteps = 0 } = this.#policy;
    return save !== undefined && saveSteps > 0 && step % saveSteps === 0;
  }

  async #afterStep(metrics: StepMetrics): Promise<void> {
    const { step, totalSteps } = metrics;
    const { onStep, evaluate, save } = this.#policy;
    this.last = metrics;
    await onStep?.(metrics);
    if (step === totalSteps || this.#isEvaluated(step)) {
      const evaluation = await evaluate?.(step);
      if (evaluation && !(evaluation.loss >= (this.best?.loss ?? Number.POSITIVE_INFINITY)))
        this.best = { loss: evaluation.loss, step };
    }
    if (this.#state && this.#isSaved(step)) await save?.(await this.#state.capture(), this.best);
    await this.#pause?.over;
  }
}
