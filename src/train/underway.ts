import { Readback, type Reading } from "../gpu/readback.ts";
import { scoped } from "../gpu/tensor.ts";
import type { Mirror } from "../nn/mirror.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { findFault } from "./fault.ts";
import type { Counted, Objective } from "./objective.ts";
import type { Optimizer } from "./optimizer.ts";
import { accumulateGradients, measured, type PassOptions } from "./pass.ts";
import type { RunCounters, TrainState } from "./state.ts";
import type { StepBatches } from "./step-batches.ts";

/** Steps that are recorded while the device computes one. */
const AHEAD = 1;

/** What a step is computed with. */
export interface StepPlan<B extends Counted> {
  /** From 1. */
  readonly step: number;
  readonly learningRate: number;
  readonly micro: StepBatches<B>;
}

interface Recorded<B extends Counted> extends StepPlan<B> {
  readonly started: number;
  readonly terms: number;
  readonly pass: PassOptions;
  readonly reading: Reading;
  /** The run behind it, unless it is skipped. */
  readonly counters: RunCounters;
}

/** A step that the device is through with. */
export interface Finished<B extends Counted> extends StepPlan<B> {
  /** Mean of the terms, before the update. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly skipped: boolean;
  readonly fault?: string;
  readonly tokens: number;
  readonly terms: number;
  readonly seconds: number;
  /** What the objective measures beside its loss; absent where it measures nothing. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** Steps that were recorded behind one that was skipped, and so changed nothing: to be recorded again. */
  readonly undone: readonly StepPlan<B>[];
}

/** What a step needs of an objective. */
type Computed<B extends Counted> = Pick<Objective<never, B>, "device" | "loss" | "measures">;

/** What steps are recorded with. */
export interface UnderwayOptions {
  readonly seed: number;
  readonly gradientCheckpointing: boolean;
  readonly totalSteps: number;
  readonly labelSmoothing: number;
  readonly zLoss: number;
  readonly neftuneNoiseAlpha: number;
}

/**
 * The steps that are recorded and of which the host does not know yet how they end, oldest first. The host records one while
 * the device computes the one before.
 *
 * Where a loss or gradient is not finite, the device changes nothing in that step, and nothing in those recorded behind it:
 * they are undone, and recorded again once the host knows. So a run comes to the same bytes however far it records ahead.
 */
export class Underway<B extends Counted> {
  readonly #objective: Computed<B>;
  readonly #parameters: Parameters;
  readonly #optimizer: Optimizer;
  readonly #state: TrainState;
  readonly #mirror: Mirror<RunCounters>;
  readonly #options: UnderwayOptions;
  readonly #readback: Readback;
  readonly #steps: Recorded<B>[] = [];
  /** When the last step was finished, ms. */
  #finishedAt = 0;
  /** The update of a step that failed is recorded, from gradients that nobody may have computed. */
  #isSpoilt = false;

  private constructor(
    objective: Computed<B>,
    state: TrainState,
    mirror: Mirror<RunCounters>,
    options: UnderwayOptions,
  ) {
    this.#objective = objective;
    this.#state = state;
    this.#parameters = state.parameters;
    this.#optimizer = state.optimizer;
    this.#mirror = mirror;
    this.#options = options;
    this.#readback = new Readback(objective.device, 3 + (objective.measures?.size ?? 0), AHEAD + 1);
  }

  /** Begins to mirror the state. */
  static async open<B extends Counted>(
    objective: Computed<B>,
    state: TrainState,
    options: UnderwayOptions,
  ): Promise<Underway<B>> {
    return new Underway(objective, state, await state.mirror(), options);
  }

  /**
   * Whether another step may be recorded now.
   * @param settles whether the parameters have to be those of a step before the next one is recorded
   */
  hasRoom(settles: (step: number) => boolean): boolean {
    const last = this.#steps.at(-1);
    return last === undefined || (this.#steps.length <= AHEAD && !settles(last.step));
  }

  /** Records a step and submits it. */
  record(plan: StepPlan<B>): void {
    const { step, learningRate, micro } = plan;
    const { device } = this.#objective;
    const terms = count(micro.batches, "terms");
    if (terms === 0) {
      fail("train", `step ${step} has no label: its loss would be 0 / 0`, "leave out rows without labels");
    }
    const started = performance.now();
    const {
      seed,
      gradientCheckpointing: checkpoint,
      labelSmoothing,
      zLoss,
      neftuneNoiseAlpha,
    } = this.#options;
    const lossShape = { labelSmoothing, zLoss };
    const pass = {
      seed: passSeed(seed, step),
      checkpoint,
      lossShape,
      ...(neftuneNoiseAlpha > 0 && { embeddingNoise: neftuneNoiseAlpha }),
    };
    device.memory.beginStep();
    scoped(device, () => {
      const { sums, report } = measured(this.#objective);
      const sum = this.#computeGradients(micro.batches, { ...pass, report });
      this.#isSpoilt = true;
      const outcome = this.#optimizer.step(sum, terms, learningRate);
      const { gradients } = this.#optimizer;
      this.#parameters.afterStep?.({ step, totalSteps: this.#options.totalSteps, gradients, outcome });
      const reading = this.#readback.read([sum, outcome, ...sums]);
      const before = this.#steps.at(-1)?.counters ?? this.#state;
      const trainedTerms = before.trainedTerms + terms;
      const trainedTokens = before.trainedTokens + count(micro.batches, "tokens");
      const { updates } = this.#optimizer;
      const counters = { step, place: micro.next, trainedTerms, trainedTokens, updates };
      this.#steps.push({ ...plan, started, terms, pass, reading, counters });
      this.#isSpoilt = false;
      return undefined;
    });
    this.#mirror.step = step;
    // One that is waited for at once is copied after that.
    const last = this.#steps.at(-1) as Recorded<B>;
    if (this.#steps.length > 1) this.#mirror.finish(step, last.counters, this.#isGood(last));
  }

  #isGood({ reading }: Recorded<B>): Promise<boolean> {
    return reading.arrived.then(
      ([, , factor]) => factor !== 0,
      () => false,
    );
  }

  #computeGradients(batches: readonly B[], pass: PassOptions) {
    this.#optimizer.zeroGradients();
    return accumulateGradients(this.#objective, this.#parameters, this.#optimizer.gradients, batches, pass);
  }

  /**
   * Waits for the oldest step; undefined where none is under way.
   * @throws LoraError where the loss is not finite and the gradient is, and where the device failed
   */
  async finish(): Promise<Finished<B> | undefined> {
    const [oldest] = this.#steps;
    if (!oldest) return undefined;
    const [sum = 0, gradNorm = 0, factor = 0, ...figures] = await oldest.reading.wait();
    this.#steps.shift();
    const { started, terms, pass, reading: _, counters, ...plan } = oldest;
    const now = performance.now();
    const seconds = (now - Math.max(started, this.#finishedAt)) / 1000;
    this.#finishedAt = now;
    const skipped = factor === 0;
    const tokens = count(plan.micro.batches, "tokens");
    const metrics = this.#objective.measures?.read(figures);
    const result = {
      ...{ ...plan, loss: sum / terms, gradNorm, skipped, tokens, terms, seconds, undone: [] },
      ...(metrics && { metrics }),
    };
    if (!skipped) {
      if (this.#steps.length === 0) this.#mirror.finish(plan.step, counters);
      return result;
    }
    const undone = await this.#undo(counters);
    const fault = await this.#findFault(oldest);
    if (Number.isFinite(gradNorm)) {
      fail("train", `the loss of step ${plan.step} is ${sum}, of a finite gradient: ${fault}`);
    }
    return { ...result, fault, undone };
  }

  /** Waits for the steps behind one that the device has skipped, which it has skipped too. */
  async #undo(skipped: RunCounters): Promise<StepPlan<B>[]> {
    const behind = [...this.#steps];
    for (const { reading } of behind) await reading.wait();
    this.#steps.length = 0;
    this.#optimizer.takeBack(1 + behind.length);
    this.#mirror.finish(skipped.step, { ...skipped, updates: this.#optimizer.updates });
    return behind.map(({ step, learningRate, micro }) => ({ step, learningRate, micro }));
  }

  async #findFault({ micro: { batches, names }, pass }: Recorded<B>): Promise<string> {
    return findFault({
      objective: this.#objective,
      parameters: this.#parameters,
      gradients: () => {
        this.#computeGradients(batches, pass); // those of a step behind it may be there
        return this.#optimizer.gradients;
      },
      batches,
      rows: names(),
      pass,
    });
  }

  /** After an error: the parameters are those of a finished step again, the newest that the host has a copy of. */
  async recover(): Promise<void> {
    let isSpoilt = this.#isSpoilt;
    for (const { reading } of this.#steps) {
      await reading.wait().catch(() => {
        isSpoilt = true;
      });
    }
    if (isSpoilt) await this.#mirror.restore();
    this.#steps.length = 0;
  }

  /** Waits for what is under way; the parameters are as the last step has left them. */
  async close(): Promise<void> {
    for (const { step, reading, counters } of this.#steps.splice(0)) {
      const [, , factor] = await reading.wait().catch(() => []);
      if (factor === 0) {
        this.#mirror.finish(step, { ...counters, updates: counters.updates - 1 });
        break;
      }
    }
    this.#readback.release();
    await this.#mirror.close();
  }
}

const count = (batches: readonly Counted[], field: "tokens" | "terms") =>
  batches.reduce((sum, batch) => sum + batch[field], 0);

/** Dropout differs from step to step and from micro-batch to micro-batch. */
const passSeed = (seed: number, step: number) => (Math.imul(seed + 1, 0x9e3779b1) + (step - 1) * 4096) >>> 0;
