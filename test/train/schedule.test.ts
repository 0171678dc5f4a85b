import { describe, expect, test } from "vitest";
import {
  checkSchedule,
  learningRateAt,
  type ScheduleName,
  type ScheduleShape,
} from "../../src/train/schedule.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

interface Golden {
  learningRate: number;
  totalSteps: number;
  cases: { schedule: ScheduleName; warmupSteps: number; scheduleShape: ScheduleShape; rates: number[] }[];
}

/** transformers 5.18: get_scheduler(…).get_last_lr() before each step, and behind the last (test/fixtures/make_schedules.py). */
const { cases, ...run } = readJsonFile<Golden>(fixturePath("."), "schedules.json");

describe("learningRateAt follows transformers' schedules", () => {
  test.each(cases)("$schedule, $warmupSteps warm-up steps, $scheduleShape", ({ rates, ...options }) => {
    const got = rates.map((_, step) => learningRateAt(step, { ...run, ...options }));
    for (const [step, rate] of got.entries()) expect(rate, `step ${step}`).toBeCloseTo(rates[step]!, 15);
  });

  test("linear is the default, and constant knows a warm-up too", () => {
    expect(learningRateAt(4, { learningRate: 1, totalSteps: 8 })).toBe(0.5);
    const warm = { schedule: "constant", warmupSteps: 4, learningRate: 1, totalSteps: 8 } as const;
    expect([1, 4, 7].map((step) => learningRateAt(step, warm))).toEqual([0.25, 1, 1]);
  });

  test("a ratio of the run warms up where no steps are given", () => {
    const at = (warmup: object) => learningRateAt(1, { learningRate: 1, totalSteps: 9, ...warmup });
    expect(at({ warmupRatio: 0.2 })).toBe(1 / 2);
    expect(at({ warmupRatio: 0.2, warmupSteps: 4 })).toBe(1 / 4);
  });
});

describe("checkSchedule refuses", () => {
  const check = (schedule: ScheduleName, scheduleShape: ScheduleShape) => () =>
    checkSchedule("train", { schedule, scheduleShape, learningRate: 1e-3 });

  test("options of another shape", () => {
    expect(check("linear", { power: 2 })).toThrow(/power is for polynomial, and the schedule is linear/);
  });

  test("cosine_with_min_lr that ends nowhere, or twice", () => {
    for (const shape of [{}, { minLr: 1e-4, minLrRate: 0.1 }])
      expect(check("cosine_with_min_lr", shape)).toThrow(/minLr or at minLrRate[\s\S]*give one of them/);
  });

  test("polynomial that does not fall", () => {
    expect(check("polynomial", { lrEnd: 1e-3 })).toThrow("must be below the rate");
  });
});
