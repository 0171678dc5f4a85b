import { Readback, type Reading } from "../gpu/readback.ts";
import type { Replay } from "../gpu/replay.ts";
import { fromArray, readAndRelease, scoped, type Tensor } from "../gpu/tensor.ts";
import type { Mirror } from "../nn/mirror.ts";
import type { Precision } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { nonFinite } from "../util/finite.ts";
import type { Exchange } from "./exchange.ts";
import { findFault } from "./fault.ts";
import { afterOverflow, afterUpdate, FIRST_SCALE, type LossScale } from "./loss-scale.ts";
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

/** What a process knows of a step before its update. */
interface StepPart {
  readonly started: number;
  readonly pass: PassOptions;
  /** What its gradients are multiplied by, in mixed precision. */
  readonly scale: LossScale | undefined;
  /** Of all processes. */
  readonly terms: number;
  /** Of all processes. */
  readonly tokens: number;
  /** Of a step that several processes take: whether this one has computed numbers. */
  readonly isSound?: boolean;
}

interface Recorded<B extends Counted> extends StepPlan<B>, StepPart {
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
  /** Its gradients have overflowed f16, so that it is among the undone: it will be recorded again with a smaller scale. */
  readonly isTriedAgain?: boolean;
  /** What its gradients were multiplied by; absent but in mixed precision. */
  readonly lossScale?: number;
}

/** What a step needs of an objective. */
type Computed<B extends Counted> = Pick<Objective<never, B>, "device" | "loss" | "placing" | "measures">;

/** What steps are recorded with. */
export interface UnderwayOptions {
  readonly seed: number;
  /** Which process this is of those that take the steps together; 0 where it is alone. */
  readonly rank: number;
  /** What joins it with the others; undefined where it is alone. */
  readonly exchange: Exchange | undefined;
  readonly gradientCheckpointing: boolean;
  readonly activationBits: 8 | 32;
  readonly precision: Precision;
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
  readonly #replay: Replay;
  readonly #steps: Recorded<B>[] = [];
  /** When the last step was finished, ms. */
  #finishedAt = 0;
  /** The update of a step that failed is recorded, from gradients that nobody may have computed. */
  #isSpoilt = false;

  private constructor(
    objective: Computed<B>,
    state: TrainState,
    mirror: Mirror<RunCounters>,
    replay: Replay,
    options: UnderwayOptions,
  ) {
    this.#objective = objective;
    this.#state = state;
    this.#parameters = state.parameters;
    this.#optimizer = state.optimizer;
    this.#mirror = mirror;
    this.#options = options;
    this.#replay = replay;
    this.#readback = new Readback(objective.device, 3 + (objective.measures?.size ?? 0), AHEAD + 1);
  }

  /** Begins to mirror the state. */
  static async open<B extends Counted>(
    objective: Computed<B>,
    state: TrainState,
    options: UnderwayOptions,
  ): Promise<Underway<B>> {
    const { Replay } = await import("../gpu/replay.ts");
    return new Underway(objective, state, await state.mirror(), new Replay(objective.device), options);
  }

  /**
   * Whether another step may be recorded now.
   * @param settles whether the parameters have to be those of a step before the next one is recorded
   */
  hasRoom(settles: (step: number) => boolean): boolean {
    const last = this.#steps.at(-1);
    if (last === undefined) return true;
    return !this.#options.exchange && this.#steps.length <= AHEAD && !settles(last.step);
  }

  /**
   * Records a step and submits it; of one that several processes take together, as soon as all have computed their parts.
   * @param stops whether this process wants the run to end before the step
   * @returns false where one of several does: then nothing is changed
   */
  async record(plan: StepPlan<B>, stops: boolean): Promise<boolean> {
    const { exchange } = this.#options;
    if (exchange) return this.#recordShared(plan, exchange, stops);
    this.#recordAlone(plan);
    return true;
  }

  #recordAlone(plan: StepPlan<B>): void {
    const { batches } = plan.micro;
    const counts = { terms: count(batches, "terms"), tokens: count(batches, "tokens") };
    this.#requireTerms(plan, counts.terms);
    const own = { ...this.#begin(plan), ...counts };
    scoped(this.#objective.device, () => {
      this.#update(plan, own, this.#computeStep(batches, own.pass));
      return undefined;
    });
    const last = this.#steps.at(-1) as Recorded<B>;
    // One that is waited for at once is copied after that.
    if (this.#steps.length > 1) this.#mirror.finish(plan.step, last.counters, this.#isGood(last));
  }

  /** Computes this process's part of a step, and records the update by the sums of all. */
  async #recordShared(plan: StepPlan<B>, exchange: Exchange, stops: boolean): Promise<boolean> {
    const { device } = this.#objective;
    const { batches } = plan.micro;
    const begun = this.#begin(plan);
    const [gradients, ...sums] = (
      await readAndRelease(device, () => {
        const sums = this.#computeStep(batches, begun.pass);
        return [this.#optimizer.flatGradients, ...sums];
      })
    ).map((buffer) => new Float32Array(buffer)) as [Float32Array<ArrayBuffer>, ...Float32Array[]];
    const [[loss = 0] = [], measures = new Float32Array()] = sums;
    const isSound = Number.isFinite(loss) && nonFinite(new Uint8Array(gradients.buffer), "f32") === undefined;
    const counts = { terms: count(batches, "terms"), tokens: count(batches, "tokens") };
    const all = await exchange.total({ loss, measures, ...counts }, stops);
    if (all.stops) return false;
    this.#requireTerms(plan, all.terms);
    this.#optimizer.flatGradients.write(await exchange.gradients(gradients));
    const { terms, tokens } = all;
    const totals = [Float32Array.of(all.loss), ...(measures.length > 0 ? [all.measures] : [])];
    scoped(device, () => {
      const tensors = totals.map((values) => fromArray(device, values, [values.length]));
      this.#update(plan, { ...begun, terms, tokens, isSound }, tensors);
      return undefined;
    });
    return true;
  }

  #requireTerms({ step }: StepPlan<B>, terms: number): void {
    if (terms === 0)
      fail("train", `step ${step} has no label: its loss would be 0 / 0`, "leave out rows without labels");
  }

  #begin({ step }: StepPlan<B>): Pick<Recorded<B>, "started" | "pass" | "scale"> {
    const { seed, rank, precision, gradientCheckpointing: checkpoint } = this.#options;
    const { activationBits, labelSmoothing, zLoss, neftuneNoiseAlpha } = this.#options;
    const { lossScale = FIRST_SCALE } = this.#newest;
    const scale = precision === "mixed" ? lossScale : undefined;
    const pass = {
      ...(scale && { precision, lossScale: scale.scale }),
      seed: passSeed(seed, step, rank),
      ...{ checkpoint, activationBits, replay: this.#replay },
      lossShape: { labelSmoothing, zLoss },
      ...(neftuneNoiseAlpha > 0 && { embeddingNoise: neftuneNoiseAlpha }),
    };
    this.#objective.device.memory.beginStep();
    return { started: performance.now(), pass, scale };
  }

  /** Computes the gradients of a step. @returns its summed loss `[1]`, and the sums of what the objective measures, if anything */
  #computeStep(batches: readonly B[], pass: PassOptions): readonly Tensor[] {
    const { sums, report } = measured(this.#objective);
    return [this.#computeGradients(batches, { ...pass, report }), ...sums];
  }

  /** Records the update by the gradients that are there, and the reading of what the step has come to. */
  #update(plan: StepPlan<B>, own: StepPart, [loss, ...sums]: readonly Tensor[]): void {
    const { step, learningRate, micro } = plan;
    const { totalSteps } = this.#options;
    this.#isSpoilt = true; // half of what is recorded from here on would spoil the parameters
    const outcome = this.#optimizer.step(loss as Tensor, own.terms, learningRate, own.scale?.scale);
    const { gradients, updates } = this.#optimizer;
    this.#parameters.afterStep?.({ step, totalSteps, gradients, outcome });
    const reading = this.#readback.read([loss as Tensor, outcome, ...sums]);
    const before = this.#newest;
    const scaled = own.scale && { lossScale: afterUpdate(own.scale) };
    const trainedTerms = before.trainedTerms + own.terms;
    const trainedTokens = before.trainedTokens + own.tokens;
    const counters = { step, place: micro.next, trainedTerms, trainedTokens, updates, ...scaled };
    this.#steps.push({ ...plan, ...own, reading, counters });
    this.#isSpoilt = false;
    this.#mirror.step = step;
  }

  /** Behind the last step that is recorded. */
  get #newest(): Pick<RunCounters, "trainedTerms" | "trainedTokens" | "lossScale"> {
    return this.#steps.at(-1)?.counters ?? this.#state.counters;
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
    const { started, terms, tokens, isSound, pass: _, reading: __, counters, scale, ...plan } = oldest;
    const now = performance.now();
    const seconds = (now - Math.max(started, this.#finishedAt)) / 1000;
    this.#finishedAt = now;
    const skipped = factor === 0;
    const metrics = this.#objective.measures?.read(figures);
    const result = {
      ...{ ...plan, loss: sum / terms, gradNorm, skipped, tokens, terms, seconds, undone: [] },
      ...(metrics && { metrics }),
      ...(scale && { lossScale: scale.scale }),
    };
    if (!skipped) {
      if (this.#steps.length === 0) this.#mirror.finish(plan.step, counters);
      this.#state.lossScale = counters.lossScale;
      return result;
    }
    const undone = await this.#undo();
    const smaller =
      scale && Number.isFinite(sum) && !Number.isFinite(gradNorm) ? afterOverflow(scale) : undefined;
    if (smaller) {
      this.#state.lossScale = smaller;
      this.#mirror.step = this.#state.step;
      return { ...result, undone: [plan, ...undone], isTriedAgain: true };
    }
    this.#state.lossScale = scale;
    const { updates } = this.#optimizer;
    this.#mirror.finish(counters.step, { ...counters, updates, ...(scale && { lossScale: scale }) });
    const { exchange } = this.#options;
    const own = isSound ? undefined : await this.#findFault(oldest);
    const fault = exchange ? await exchange.fault(own) : (own as string);
    if (Number.isFinite(gradNorm)) {
      fail("train", `the loss of step ${plan.step} is ${sum}, of a finite gradient: ${fault}`);
    }
    return { ...result, fault, undone };
  }

  /** Waits for the steps behind one that the device has skipped, which it has skipped too. */
  async #undo(): Promise<StepPlan<B>[]> {
    const behind = [...this.#steps];
    for (const { reading } of behind) await reading.wait();
    this.#steps.length = 0;
    this.#optimizer.takeBack(1 + behind.length);
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
    for (const { step, reading, counters, scale } of this.#steps.splice(0)) {
      const [, , factor] = await reading.wait().catch(() => []);
      if (factor === 0) {
        if (scale) this.#mirror.step = step - 1;
        else this.#mirror.finish(step, { ...counters, updates: counters.updates - 1 });
        break;
      }
    }
    this.#replay.forget();
    this.#readback.release();
    await this.#mirror.close();
  }
}

const count = (batches: readonly Counted[], field: "tokens" | "terms") =>
  batches.reduce((sum, batch) => sum + batch[field], 0);

/** Dropout differs from step to step, from process to process, and from micro-batch to micro-batch. */
const passSeed = (seed: number, step: number, rank: number) =>
  (Math.imul(seed + 1, 0x9e3779b1) + Math.imul(rank, 0x85ebca6b) + (step - 1) * 4096) >>> 0;
