import type { RunState } from "../io/formats/run-state.ts";
import { LoraError } from "../util/fail.ts";
import { type BestEvaluation, type BestPolicy, BestSoFar, type RunEvaluation } from "./best.ts";
import { type BeginTraining, Losses, type LossPolicy } from "./losses.ts";
import type { TrainState } from "./state.ts";
import type { StepMetrics } from "./trainer.ts";
import type { RunObserver } from "./watch/observer.ts";
import { SpikeWatch } from "./watch/spikes.ts";
import { UpdateWatch } from "./watch/update-norms.ts";

/** What a run does beside its steps. */
export interface RunPolicy extends LossPolicy, BestPolicy {
  /** Steps between two evaluations; at the end of the run alone where it is 0, as unless given. */
  evalSteps?: number;
  /** Evaluates the model as it is after a step; undefined where that came to nothing. */
  evaluate?(step: number): Promise<RunEvaluation | undefined>;
  /** Steps between two checkpoints; none where it is 0, as unless given. */
  saveSteps?: number;
  /**
   * Most seconds between two checkpoints, beside those of `saveSteps`; the end of the run, whatever it is, has one, too. None
   * unless given.
   */
  saveSeconds?: number;
  /** Keeps the run's state; behind the evaluation of the same step. */
  save?(state: RunState, best: BestEvaluation | undefined): Promise<void>;
  /**
   * Gives back the state that was saved behind the best evaluation, and the run ends with its parameters; undefined: with those of the
   * last step. Where it is there, every evaluation that is the best so far is saved.
   */
  loadBest?(best: BestEvaluation): Promise<RunState | undefined>;
  /** Told the metrics of every step, once. */
  onStep?(metrics: StepMetrics): void | Promise<void>;
  /** What is done with the device at the end. */
  finish?(): Promise<void>;
  /** Watches it: told of every step, behind `onStep`, and of every evaluation. {@link observeAll} makes one of several. */
  observer?: RunObserver;
  /** Steps between two looks at how far each layer has moved, for the observer; none where it is 0, as unless given. */
  updateNormSteps?: number;
  /** Ends the run where it is aborted, after the steps that are under way. */
  signal?: AbortSignal;
  /** The best evaluation so far, of a run that goes on. */
  best?: BestEvaluation | undefined;
}

/**
 * A run with its evaluations and checkpoints, which can be paused and stopped, and goes on by itself where the device is lost:
 * what a command line, a page and a worker have in common. It waits for what is under way where the parameters are looked
 * at, and nowhere else.
 */
export class Run {
  /** It came to its end before its last step, for it got no better. */
  stoppedEarly = false;
  /** The metrics of the last step; undefined before the first. */
  last: StepMetrics | undefined;
  readonly #policy: RunPolicy;
  readonly #stop = new AbortController();
  readonly #best: BestSoFar;
  /** Somebody wanted it to end. */
  #isAsked = false;
  readonly #losses: Losses;
  #begin: BeginTraining;
  readonly #spikes = new SpikeWatch();
  #updates: UpdateWatch | undefined;
  #state: TrainState | undefined;
  /** The last step that was evaluated. */
  #evaluated = 0;
  /** The last step that was saved. */
  #saved = 0;
  /** When that was, or the run began, ms. */
  #savedAt = performance.now();
  /** The step behind which the clock wants a checkpoint. */
  #due = 0;
  /** Holds the run while it is paused. */
  #pause: { readonly over: Promise<void>; end(): void } | undefined;

  constructor(begin: BeginTraining, policy: RunPolicy = {}) {
    this.#begin = begin;
    this.#policy = policy;
    this.#losses = new Losses(policy);
    this.#best = new BestSoFar(policy, policy.best);
  }

  /** The best of its evaluations so far. */
  get best(): BestEvaluation | undefined {
    return this.#best.best;
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
    this.#stopIfNoBetter(); // one that goes on may have come to that before
    try {
      await this.#pause?.over;
      while (!(await this.#ends()));
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Holds the run after the steps that are under way, or before its first one, until {@link resume}. */
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
    this.#isAsked = true;
    this.#stop.abort();
    this.resume();
  }

  /** Trains until the end, or the loss of the device: false where it may go on on another. */
  async #ends(): Promise<boolean> {
    try {
      await this.#train();
      await this.#policy.finish?.();
      return true;
    } catch (error) {
      const { recover } = this.#policy;
      const isLoss = error instanceof LoraError && Losses.isOne(error);
      if (!recover || !isLoss || this.#isAsked) throw error;
      this.#begin = await this.#losses.recover(error, this.#state?.mirrored, recover);
      return false;
    }
  }

  async #train(): Promise<void> {
    const { resume, batchSplit } = this.#losses;
    const steps = this.#begin({
      signal: this.#stop.signal,
      settleAfter: (step) => {
        this.#lookAtClock(step);
        return this.isPaused || this.#isEvaluated(step) || this.#isSaved(step) || this.#isLookedAt(step);
      },
      onStart: async (state) => {
        this.#state = state;
        if (this.#policy.updateNormSteps) await this.#watchUpdates(state);
        // What was due behind this step, and was not done when the device was lost.
        if (this.last && this.last.step === state.step) await this.#settle(this.last);
      },
      ...(resume && { resume }),
      ...(batchSplit > 1 && { batchSplit }),
    });
    for await (const metrics of steps) await this.#afterStep(metrics);
    if (this.#policy.saveSeconds !== undefined && this.#state) await this.#save(this.#state.step);
    if (!this.#isAsked) await this.#takeBest();
  }

  async #watchUpdates(state: TrainState): Promise<void> {
    if (this.#updates) await this.#updates.follow(state);
    else this.#updates = new UpdateWatch(state);
  }

  /** Puts the parameters of the best evaluation in place of the last ones. */
  async #takeBest(): Promise<void> {
    const { best } = this;
    if (!best || !this.#state || best.step === this.#state.step) return;
    const state = await this.#policy.loadBest?.(best);
    if (state) this.#state.adopt(state);
  }

  #stopIfNoBetter(): void {
    if (!this.#best.isOver) return;
    this.stoppedEarly = true;
    this.#stop.abort();
  }

  #isEvaluated(step: number): boolean {
    const { evaluate, evalSteps = 0 } = this.#policy;
    return evaluate !== undefined && evalSteps > 0 && step % evalSteps === 0;
  }

  #isSaved(step: number): boolean {
    const { save, saveSteps = 0 } = this.#policy;
    return save !== undefined && (step === this.#due || (saveSteps > 0 && step % saveSteps === 0));
  }

  /** Decides before the step is through whether it is saved, so that the next one waits for that. */
  #lookAtClock(step: number): void {
    const { saveSeconds = Number.POSITIVE_INFINITY } = this.#policy;
    if (performance.now() - this.#savedAt >= 1000 * saveSeconds) this.#due = step;
  }

  #isLookedAt(step: number): boolean {
    const { updateNormSteps = 0 } = this.#policy;
    return updateNormSteps > 0 && step % updateNormSteps === 0;
  }

  async #afterStep(metrics: StepMetrics): Promise<void> {
    // A step that is computed again after a loss was told before.
    if (metrics.step > (this.last?.step ?? 0)) {
      this.last = metrics;
      this.#losses.progress(metrics.step);
      await this.#policy.onStep?.(metrics);
      await this.#observe(metrics);
    }
    await this.#settle(metrics);
    await this.#pause?.over;
  }

  async #observe(metrics: StepMetrics): Promise<void> {
    const { observer } = this.#policy;
    const { step } = metrics;
    await observer?.onStep?.(metrics, this.#spikes.add(metrics));
    if (this.#updates && this.#isLookedAt(step))
      await observer?.onUpdateNorms?.(await this.#updates.look(step));
  }

  /** Evaluates and saves where that is due, once. */
  async #settle(metrics: StepMetrics): Promise<void> {
    const { step, totalSteps } = metrics;
    if (step > this.#evaluated && (step === totalSteps || this.#isEvaluated(step))) {
      await this.#evaluate(metrics);
      this.#evaluated = step;
    }
    const isKept = this.#policy.loadBest !== undefined && this.best?.step === step;
    if (isKept || this.#isSaved(step)) await this.#save(step);
  }

  async #save(step: number): Promise<void> {
    if (!this.#state || step <= this.#saved) return;
    await this.#policy.save?.(await this.#state.capture(), this.best);
    this.#saved = step;
    this.#savedAt = performance.now();
  }

  async #evaluate({ step, totalSteps, passes }: StepMetrics): Promise<void> {
    const { evaluate, observer } = this.#policy;
    const started = performance.now();
    const evaluation = await evaluate?.(step);
    if (!evaluation) return;
    this.#best.add(evaluation, step);
    if (step < totalSteps) this.#stopIfNoBetter();
    const seconds = (performance.now() - started) / 1000;
    await observer?.onEvaluation?.({ step, passes, seconds, ...evaluation });
  }
}
