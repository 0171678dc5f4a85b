import { fail } from "../util/fail.ts";

/** What an evaluation came to. */
export interface RunEvaluation {
  /** Mean loss, nats. */
  readonly loss: number;
  /** What else the task measures, such as `accuracy`. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** The same in words, for a line of a table. */
  readonly summary?: string;
}

/** The best evaluation of a run so far. */
export interface BestEvaluation {
  /** Its mean loss, nats. */
  readonly loss: number;
  /** After which step, from 1. */
  readonly step: number;
  /** What it is the best by; absent: the loss. */
  readonly metric?: string;
  /** Of that metric. */
  readonly value?: number;
  /** Evaluations since the last one that was better by the threshold. */
  readonly misses?: number;
}

/** Which evaluation is the best, and when a run ends that gets no better; names as in transformers, in camel case. */
export interface BestPolicy {
  /** What evaluations are compared by: `loss`, or another of their figures; `loss` unless given. */
  metricForBestModel?: string;
  /** True unless given for all but losses and perplexities. */
  greaterIsBetter?: boolean;
  /** Evaluations in a row that are no better, of which the last ends the run; none unless given. */
  earlyStoppingPatience?: number;
  /** By how much an evaluation has to be better for that; 0 unless given. */
  earlyStoppingThreshold?: number;
}

/** Whether more of a metric is better, where nothing is said: transformers' rule, and perplexity, which it does not have. */
export const isGreaterBetter = (metric: string): boolean => !/(loss|perplexity)$/.test(metric);

/** Keeps the best evaluation of a run, and counts those that were no better, as transformers' `EarlyStoppingCallback` does. */
export class BestSoFar {
  /** Undefined before the first evaluation. */
  best: BestEvaluation | undefined;
  readonly #metric: string;
  readonly #sign: number;
  readonly #patience: number;
  readonly #threshold: number;

  /** @param best of a run that goes on; one by another metric does not count */
  constructor(options: BestPolicy, best?: BestEvaluation) {
    const { metricForBestModel = "loss", earlyStoppingPatience, earlyStoppingThreshold = 0 } = options;
    this.#metric = metricForBestModel;
    this.#sign = (options.greaterIsBetter ?? isGreaterBetter(this.#metric)) ? 1 : -1;
    this.#patience = earlyStoppingPatience ?? Number.POSITIVE_INFINITY;
    this.#threshold = earlyStoppingThreshold;
    if ((best?.metric ?? "loss") === this.#metric) this.best = best;
  }

  /** Whether so many evaluations were no better that the run has to end. */
  get isOver(): boolean {
    return (this.best?.misses ?? 0) >= this.#patience;
  }

  /**
   * Adds an evaluation; returns whether it is the best.
   * @throws LoraError where it has no such figure
   */
  add(evaluation: RunEvaluation, step: number): boolean {
    const metric = this.#metric;
    const value = figureOf(evaluation, metric);
    const gain = this.best
      ? this.#sign * (value - (this.best.value ?? this.best.loss))
      : Number.POSITIVE_INFINITY;
    const misses = gain > 0 && gain > this.#threshold ? 0 : (this.best?.misses ?? 0) + 1;
    const isBest = gain > 0;
    const named = metric === "loss" ? {} : { metric, value };
    const best = isBest ? { loss: evaluation.loss, step, ...named } : (this.best as BestEvaluation);
    const { misses: _, ...rest } = best;
    this.best = { ...rest, ...(misses > 0 && { misses }) };
    return isBest;
  }
}

/** @throws LoraError where the evaluation has no such figure */
export function figureOf({ loss, metrics = {} }: RunEvaluation, metric: string): number {
  const figures: Readonly<Record<string, number>> = { ...metrics, loss };
  const value = Object.hasOwn(figures, metric) ? figures[metric] : undefined;
  if (value !== undefined) return value;
  const known = Object.keys(figures).sort().join(", ");
  return fail("metric_for_best_model", `${metric} is not measured here`, `the task measures ${known}`);
}
