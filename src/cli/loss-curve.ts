import type { CardLoss } from "../load/adapter-card.ts";
import type { StepMetrics } from "../train/trainer.ts";
import type { LogEntry } from "../train/watch/log-entry.ts";

/** Rows at most, however long a run is. */
const MOST_ROWS = 20;

/** Steps whose losses are told as their mean. */
interface Stretch {
  readonly from: number;
  to: number;
  sum: number;
  count: number;
}

/** The losses of a run in a few rows: where there are too many steps, each row is the mean of more of them. */
export class LossCurve {
  #stretches: Stretch[] = [];
  #width = 1;
  readonly #evaluations = new Map<number, Pick<CardLoss, "evaluation" | "summary">>();

  /** Takes note of a step. */
  step({ step, loss }: Pick<StepMetrics, "step" | "loss">): void {
    const last = this.#stretches.at(-1);
    if (last && step <= last.to) return; // a run that begins again on another device repeats a few steps
    if (last && last.to - last.from + 1 < this.#width) {
      last.to = step;
      last.sum += loss;
      last.count++;
      return;
    }
    if (this.#stretches.length === MOST_ROWS) this.#halve();
    if (this.#stretches.length < MOST_ROWS)
      this.#stretches.push({ from: step, to: step, sum: loss, count: 1 });
  }

  /** Takes note of an evaluation after a step; 0 is before the first. */
  evaluation(step: number, evaluation: number, summary: string): void {
    this.#evaluations.set(step, { evaluation, ...(summary !== "" && { summary }) });
  }

  /** Takes note of what came before a run that goes on. */
  goOnFrom(entries: readonly LogEntry[]): void {
    for (const { step, loss, eval_loss, eval_summary: words } of entries) {
      if (typeof loss === "number") this.step({ step, loss });
      if (typeof eval_loss === "number")
        this.evaluation(step, eval_loss, typeof words === "string" ? words : "");
    }
  }

  /** In the order of steps: the means, and the evaluations, a few of them where there are many, the last one included. */
  rows(): CardLoss[] {
    const trained = this.#stretches.map(({ to, sum, count }): [number, number] => [to, sum / count]);
    const means = new Map(trained);
    const evaluated = thinned([...this.#evaluations.keys()]);
    const steps = [...new Set([...means.keys(), ...evaluated])].sort((a, b) => a - b);
    return steps.map((step) => ({
      step,
      ...(means.has(step) && { train: means.get(step) }),
      ...(evaluated.includes(step) && this.#evaluations.get(step)),
    }));
  }

  #halve(): void {
    this.#width *= 2;
    const pairs: Stretch[] = [];
    for (let i = 0; i < this.#stretches.length; i += 2) {
      const [first, second] = this.#stretches.slice(i, i + 2) as [Stretch, Stretch];
      pairs.push({
        from: first.from,
        to: second.to,
        sum: first.sum + second.sum,
        count: first.count + second.count,
      });
    }
    this.#stretches = pairs;
  }
}

function thinned(steps: readonly number[]): number[] {
  const stride = Math.ceil(steps.length / MOST_ROWS);
  return steps.filter((_, i) => (steps.length - 1 - i) % stride === 0);
}
