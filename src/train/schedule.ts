import { fail } from "../util/fail.ts";

/** The shapes of the learning rate, by transformers' names (`lr_scheduler_type`). */
export const SCHEDULES = [
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "constant",
  "constant_with_warmup",
  "inverse_sqrt",
  "cosine_with_min_lr",
  "warmup_stable_decay",
] as const;

/** Shapes of the learning rate over a run. */
export type ScheduleName = (typeof SCHEDULES)[number];

/** How warm-up and decay of `warmup_stable_decay` may bend. */
export const BENDS = ["linear", "cosine", "1-sqrt"] as const;

/** What some shapes are told beside the run's length: transformers' `lr_scheduler_kwargs`, in camel case. */
export interface ScheduleShape {
  /** Waves of a cosine, 0.5 unless given; runs of `cosine_with_restarts`, 1 unless given. */
  numCycles?: number;
  /** Where `cosine_with_min_lr` ends: a rate, or … */
  minLr?: number;
  /** … a share of the peak. One of the two must be given. */
  minLrRate?: number;
  /** Where `polynomial` ends, 1e-7 unless given. */
  lrEnd?: number;
  /** Exponent of `polynomial`, 1 unless given. */
  power?: number;
  /** Steps after which `inverse_sqrt` has fallen by √2 …: the warm-up, or 10 000 without one, unless given. */
  timescale?: number;
  /** Steps of the decay of `warmup_stable_decay`; a tenth of the run unless given. */
  numDecaySteps?: number;
  /** Steps before it; what is left between warm-up and decay unless given. */
  numStableSteps?: number;
  /** Share of the peak at both ends of `warmup_stable_decay`; 0 unless given. */
  minLrRatio?: number;
  /** How it rises, `linear` unless given. */
  warmupType?: (typeof BENDS)[number];
  /** How it falls, `cosine` unless given. */
  decayType?: (typeof BENDS)[number];
}

/** Options of {@link learningRateAt}. */
export interface ScheduleOptions {
  schedule?: ScheduleName;
  scheduleShape?: ScheduleShape;
  /** Peak learning rate. */
  learningRate: number;
  /** Steps of linear rise from 0. */
  warmupSteps?: number;
  /** The same as a share of the run, rounded up; for where no steps are given. */
  warmupRatio?: number;
  /** Optimiser steps of the whole run. */
  totalSteps: number;
}

/** A run as the shapes see it. */
interface Course extends ScheduleShape {
  readonly warmup: number;
  readonly total: number;
  readonly peak: number;
}

/** Share of the peak at a step behind the warm-up. */
type Shape = (step: number, course: Course) => number;

const progressOf = (step: number, { warmup, total }: Course) => (step - warmup) / Math.max(1, total - warmup);

const SHAPES: Readonly<Record<Exclude<ScheduleName, "warmup_stable_decay">, Shape>> = {
  constant: () => 1,
  constant_with_warmup: () => 1,
  linear: (step, course) => Math.max(0, 1 - progressOf(step, course)),
  cosine: (step, course) => Math.max(0, wave(step, course)),
  cosine_with_restarts(step, { numCycles = 1, ...course }) {
    const progress = progressOf(step, course);
    return progress >= 1 ? 0 : 0.5 * (1 + Math.cos(Math.PI * ((numCycles * progress) % 1)));
  },
  cosine_with_min_lr(step, course) {
    const { minLr = 0, minLrRate = minLr / course.peak } = course;
    return Math.max(0, wave(step, course) * (1 - minLrRate) + minLrRate);
  },
  polynomial(step, { lrEnd = 1e-7, power = 1, ...course }) {
    const left = 1 - (step - course.warmup) / (course.total - course.warmup);
    return step > course.total
      ? lrEnd / course.peak
      : ((course.peak - lrEnd) * left ** power + lrEnd) / course.peak;
  },
  inverse_sqrt(step, { warmup, timescale = warmup || 10_000 }) {
    return 1 / Math.sqrt((step + timescale - warmup) / timescale);
  },
};

function wave(step: number, course: Course): number {
  const { numCycles = 0.5 } = course;
  return 0.5 * (1 + Math.cos(Math.PI * 2 * numCycles * progressOf(step, course)));
}

/**
 * Learning rate of optimiser step `step`, counted from 0, as transformers' `get_scheduler` gives it by the same name, but that
 * `constant` knows a warm-up too. With a warm-up, step 0 has rate 0.
 */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  const { schedule = "linear", scheduleShape = {}, learningRate: peak, totalSteps: total } = options;
  const course = { ...scheduleShape, peak, total, warmup: warmupStepsOf(options) };
  if (schedule === "warmup_stable_decay") return peak * warmupStableDecay(step, course);
  if (step < course.warmup) return (peak * step) / Math.max(1, course.warmup);
  return peak * SHAPES[schedule](step, course);
}

export function warmupStepsOf({ warmupSteps = 0, warmupRatio = 0, totalSteps }: ScheduleOptions): number {
  return warmupSteps > 0 ? warmupSteps : Math.ceil(totalSteps * warmupRatio);
}

/** Hu et al. 2024, arXiv 2404.06395, as in transformers. */
function warmupStableDecay(step: number, { warmup, total, minLrRatio = 0, ...course }: Course): number {
  const { numDecaySteps = Math.ceil(total / 10), warmupType = "linear", decayType = "cosine" } = course;
  const { numStableSteps = total - warmup - numDecaySteps, numCycles = 0.5 } = course;
  const above = (share: number) => Math.max(0, share * (1 - minLrRatio) + minLrRatio);
  if (step < warmup) {
    const progress = step / Math.max(1, warmup);
    if (warmupType === "cosine") return above(0.5 * (1 - Math.cos(Math.PI * progress)));
    return above(warmupType === "linear" ? progress : 1 - Math.sqrt(1 - progress));
  }
  const decayed = step - warmup - numStableSteps;
  if (decayed < 0) return 1;
  if (decayed >= numDecaySteps) return minLrRatio;
  const progress = decayed / Math.max(1, numDecaySteps);
  if (decayType === "cosine") return above(0.5 * (1 + Math.cos(Math.PI * 2 * numCycles * progress)));
  return above(decayType === "linear" ? 1 - progress : 1 - Math.sqrt(progress));
}

/** Options of a shape by the shapes that know it. */
const KNOWN: Readonly<Record<keyof ScheduleShape, readonly ScheduleName[]>> = {
  numCycles: ["cosine", "cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay"],
  minLr: ["cosine_with_min_lr"],
  minLrRate: ["cosine_with_min_lr"],
  lrEnd: ["polynomial"],
  power: ["polynomial"],
  timescale: ["inverse_sqrt"],
  numDecaySteps: ["warmup_stable_decay"],
  numStableSteps: ["warmup_stable_decay"],
  minLrRatio: ["warmup_stable_decay"],
  warmupType: ["warmup_stable_decay"],
  decayType: ["warmup_stable_decay"],
};

/** @throws LoraError where options of a shape are not of the one that is chosen, or leave out what that needs */
export function checkSchedule(where: string, options: Omit<ScheduleOptions, "totalSteps">): void {
  const { schedule = "linear", scheduleShape: shape = {}, learningRate } = options;
  for (const name of Object.keys(shape) as (keyof ScheduleShape)[]) {
    if (!KNOWN[name].includes(schedule)) {
      fail(
        where,
        `${name} is for ${KNOWN[name].join(", ")}, and the schedule is ${schedule}`,
        "leave it out",
      );
    }
  }
  const { minLr, minLrRate, lrEnd = 1e-7 } = shape;
  if (schedule === "cosine_with_min_lr" && (minLr === undefined) === (minLrRate === undefined)) {
    fail(where, "cosine_with_min_lr ends at minLr or at minLrRate times the peak", "give one of them");
  }
  if (schedule === "polynomial" && lrEnd >= learningRate) {
    fail(where, `polynomial ends at lrEnd, ${lrEnd}, which must be below the rate, ${learningRate}`);
  }
}
