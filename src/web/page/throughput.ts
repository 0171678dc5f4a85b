import type { StepMetrics } from "../../train/trainer.ts";

/** Steps that the rate is taken over, so that it can be read. */
const WINDOW = 8;

/** Tokens a second over the last steps. */
export class Throughput {
  readonly #last: Pick<StepMetrics, "tokens" | "seconds">[] = [];

  /** The rate with another step. */
  add(step: Pick<StepMetrics, "tokens" | "seconds">): number {
    this.#last.push(step);
    if (this.#last.length > WINDOW) this.#last.shift();
    const sum = (key: "tokens" | "seconds") => this.#last.reduce((total, each) => total + each[key], 0);
    return sum("tokens") / sum("seconds");
  }
}
