import { fail } from "../util/fail.ts";

/** The shapes of the learning rate. */
export const SCHEDULES = ["linear", "cosine", "constant"] as const;

/** Shapes of the learning rate over a run, by transformers' names. */
export type ScheduleName = (typeof SCHEDULES)[number];

/** Options of {@link learningRateAt}. */
export interface ScheduleOptions {
  schedule?: ScheduleName;
  /** Peak learning rate. */
  learningRate: number;
  /** Steps of linear rise from 0. */
  warmupSteps?: number;
  /** Optimiser steps of the whole run; where linear and cosine reach 0. */
  totalSteps: number;
}

/**
 * Learning rate of optimiser step `step`, counted from 0: transformers' `get_linear_schedule_with_warmup`,
 * `get_cosine_schedule_with_warmup` and `get_constant_schedule_with_warmup`. With a warm-up, step 0 has rate 0.
 */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  const { schedule = "linear", learningRate, warmupSteps = 0, totalSteps } = options;
  if (step < warmupSteps) return (learningRate * step) / Math.max(1, warmupSteps);
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  switch (schedule) {
    case "constant":
      return learningRate;
    case "linear":
      return learningRate * Math.max(0, 1 - progress);
    case "cosine":
      return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
  }
  schedule satisfies never;
  return fail("schedule", `"${schedule}" is unknown`, "it must be linear, cosine or constant");
}
