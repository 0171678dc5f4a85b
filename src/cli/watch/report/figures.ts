import type { LogEntry } from "../../../train/watch/log-entry.ts";

/** The values of one figure over a run, by steps. */
export interface Figures {
  readonly steps: number[];
  /** null: it was not finite. */
  readonly values: (number | null)[];
}

/** All figures of a run by their names, such as `loss` and `eval_loss`. */
export class FigureTable {
  readonly all = new Map<string, Figures>();

  /** Takes an entry. */
  add({ step, ...values }: LogEntry): void {
    for (const [name, value] of Object.entries(values)) {
      if (typeof value !== "number" && value !== null) continue;
      const figures = this.get(name);
      this.all.set(name, figures);
      figures.steps.push(step);
      figures.values.push(value);
    }
  }

  get(name: string): Figures {
    return this.all.get(name) ?? { steps: [], values: [] };
  }

  /** The last value of a figure, if there is one that is finite. */
  last(name: string): number | undefined {
    return this.get(name).values.findLast((value) => value !== null) ?? undefined;
  }

  /** The lowest value of a figure, and its step. */
  lowest(name: string): { readonly value: number; readonly step: number } | undefined {
    const { steps, values } = this.get(name);
    let best: { value: number; step: number } | undefined;
    for (const [i, value] of values.entries())
      if (value !== null && !(value >= (best?.value ?? Number.POSITIVE_INFINITY)))
        best = { value, step: steps[i] as number };
    return best;
  }
}

/** Points of a line at most: a screen has not many more, and a page of a long run stays small. */
const MOST_POINTS = 1200;

/** Fewer points where there are too many: of each stretch the least and the greatest value, so that spikes stay. */
export function thinned({ steps, values }: Figures): Figures {
  if (steps.length <= MOST_POINTS) return { steps, values };
  const stretch = Math.ceil((2 * steps.length) / MOST_POINTS);
  const kept: number[] = [];
  for (let start = 0; start < steps.length; start += stretch) {
    let [least, most] = [start, start];
    for (let i = start; i < Math.min(start + stretch, steps.length); i++) {
      if (orNaN(values[i]) < orNaN(values[least])) least = i;
      if (orNaN(values[i]) > orNaN(values[most])) most = i;
    }
    kept.push(Math.min(least, most));
    if (least !== most) kept.push(Math.max(least, most));
  }
  return { steps: kept.map((i) => steps[i] as number), values: kept.map((i) => values[i] ?? null) };
}

const orNaN = (value: number | null | undefined) => value ?? Number.NaN;

/** Steps that a speed is the mean of. */
const STEPS_OF_SPEED = 10;

/**
 * Tokens a second, each over the last few steps: the host learns of steps in bursts, so that the time of a single one says
 * little.
 */
export function speeds(perSecond: Figures, times: Figures): Figures {
  const { steps, values } = perSecond;
  const tokens = values.map((value, i) => (value ?? 0) * (times.values[i] ?? 0));
  const over = (list: readonly (number | null)[], i: number) =>
    list.slice(Math.max(0, i + 1 - STEPS_OF_SPEED), i + 1).reduce<number>((sum, x) => sum + (x ?? 0), 0);
  const means = values.map((_, i) => {
    const seconds = over(times.values, i);
    return seconds > 0 ? over(tokens, i) / seconds : null;
  });
  return { steps, values: means };
}

/** Values that fewer are shown as they are. */
const FEWEST_SMOOTHED = 30;

/** The running mean that TensorBoard's smoothing shows, over about a thirtieth of the run; undefined where there are too few values. */
export function smoothed({ steps, values }: Figures): Figures | undefined {
  if (values.length < FEWEST_SMOOTHED) return undefined;
  const weight = 1 - 1 / Math.max(5, values.length / 30);
  let [sum, share] = [0, 0];
  const means = values.map((value) => {
    if (value !== null) [sum, share] = [sum * weight + (1 - weight) * value, share * weight + (1 - weight)];
    return share > 0 ? sum / share : null;
  });
  return { steps, values: means };
}
