import type { StepMetrics } from "../trainer.ts";

/** Something strange about a step. */
export interface RunWarning {
  /** From 1. */
  readonly step: number;
  /** What is strange. */
  readonly kind: "loss-spike" | "gradient-spike" | "rising-gradient";
  /** In words, with the rows of the step. */
  readonly message: string;
}

/** Steps that a step is compared with, at least and at most. */
const FEWEST = 16;
const MOST = 64;
/** A loss is a spike so many spreads above the median of those before it. The spread of a normal distribution is 1. */
const SPREADS = 6;
/** Losses that hardly differ have at least this spread, as a share of their median: a ripple is no spike. */
const LEAST_SPREAD = 0.05;
/** A gradient norm is a spike so many times above the median of those before it … */
const GRADIENT_SPIKE = 10;
/** … and rises where the median of the last steps is so many times that of the calmest before. */
const RISE = 4;
/** Steps after a warning in which none of its kind follows. */
const QUIET = 16;
/** Rows that a message names. */
const ROWS_SHOWN = 8;

type Watched = Pick<StepMetrics, "step" | "loss" | "gradNorm" | "rows">;

/**
 * Finds steps whose loss or gradient norm is far above those before, and gradients that grow over the run: a bad row, or a rate
 * that is too high. Medians and their absolute deviations are compared, which the spikes themselves hardly move.
 */
export class SpikeWatch {
  readonly #losses: number[] = [];
  readonly #norms: number[] = [];
  /** Median norm of the calmest {@link FEWEST} steps so far, or that at the last warning. */
  #calm = Number.POSITIVE_INFINITY;
  readonly #quietUntil = new Map<RunWarning["kind"], number>();

  /** Takes a step; returns what is strange about it. */
  add(step: Watched): RunWarning[] {
    const warnings = [this.#lossSpike(step), this.#gradientSpike(step), this.#risingGradient(step)];
    remember(this.#losses, step.loss);
    remember(this.#norms, step.gradNorm);
    return warnings.filter((warning) => warning !== undefined);
  }

  #lossSpike(step: Watched): RunWarning | undefined {
    if (this.#losses.length < FEWEST) return undefined;
    const middle = median(this.#losses);
    const spread = Math.max(
      1.4826 * median(this.#losses.map((x) => Math.abs(x - middle))),
      LEAST_SPREAD * middle,
    );
    if (!(step.loss > middle + SPREADS * spread)) return undefined;
    return this.#warn(
      "loss-spike",
      step,
      `the loss is ${shown(step.loss)}, and was about ${shown(middle)} before`,
    );
  }

  #gradientSpike(step: Watched): RunWarning | undefined {
    if (this.#norms.length < FEWEST) return undefined;
    const middle = median(this.#norms);
    if (!(step.gradNorm > GRADIENT_SPIKE * middle)) return undefined;
    const text = `the gradient's norm is ${shown(step.gradNorm)}, and was about ${shown(middle)} before`;
    return this.#warn("gradient-spike", step, text);
  }

  #risingGradient(step: Watched): RunWarning | undefined {
    if (this.#norms.length < FEWEST) return undefined;
    const now = median(this.#norms.slice(-FEWEST));
    if (this.#norms.length >= 2 * FEWEST && now > RISE * this.#calm) {
      const text = `the gradient's norm has risen from about ${shown(this.#calm)} to ${shown(now)}: the learning rate may be too high`;
      this.#calm = now;
      return this.#warn("rising-gradient", step, text);
    }
    this.#calm = Math.min(this.#calm, now);
    return undefined;
  }

  #warn(kind: RunWarning["kind"], { step, rows }: Watched, text: string): RunWarning | undefined {
    if (step < (this.#quietUntil.get(kind) ?? 0)) return undefined;
    this.#quietUntil.set(kind, step + QUIET);
    return { step, kind, message: `step ${step}: ${text}; its rows: ${namesOf(rows)}` };
  }
}

function remember(values: number[], value: number): void {
  if (!Number.isFinite(value)) return;
  values.push(value);
  if (values.length > MOST) values.shift();
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? Number.NaN)) / 2;
}

const shown = (x: number) =>
  Math.abs(x) >= 0.001 && Math.abs(x) < 1e5 ? x.toPrecision(3) : x.toExponential(2);

function namesOf(rows: readonly string[]): string {
  const more = rows.length - ROWS_SHOWN;
  return rows.slice(0, ROWS_SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
