import { describe, expect, test } from "vitest";
import { learningRateAt, type ScheduleName } from "../../src/train/schedule.ts";

// transformers 5.18: get_scheduler(name, num_warmup_steps, num_training_steps=8), rate 0.01, get_last_lr() before each step
const GOLDEN: readonly [ScheduleName, warmupSteps: number, rates: number[]][] = [
  ["linear", 0, [0.01, 0.00875, 0.0075, 0.00625, 0.005, 0.00375, 0.0025, 0.00125, 0]],
  ["linear", 3, [0, 0.01 / 3, 0.02 / 3, 0.01, 0.008, 0.006, 0.004, 0.002, 0]],
  [
    "cosine",
    0,
    [
      0.01, 0.009619397662556433, 0.008535533905932738, 0.00691341716182545, 0.005, 0.0030865828381745515,
      0.0014644660940672626, 0.0003806023374435663, 0,
    ],
  ],
  [
    "cosine",
    3,
    [
      0,
      0.01 / 3,
      0.02 / 3,
      0.01,
      0.009045084971874737,
      0.006545084971874737,
      0.003454915028125263,
      0.0009549150281252633,
      0,
    ],
  ],
  ["constant", 0, Array<number>(9).fill(0.01)],
  ["constant", 3, [0, 0.01 / 3, 0.02 / 3, ...Array<number>(6).fill(0.01)]],
];

describe("learningRateAt follows transformers' schedules", () => {
  test.each(GOLDEN)("%s, %i warm-up steps", (schedule, warmupSteps, rates) => {
    const got = rates.map((_, step) =>
      learningRateAt(step, { schedule, warmupSteps, learningRate: 0.01, totalSteps: 8 }),
    );
    got.forEach((rate, step) => {
      expect(rate).toBeCloseTo(rates[step] as number, 15);
    });
  });

  test("linear is the default; an unknown name is refused with the known ones", () => {
    expect(learningRateAt(4, { learningRate: 1, totalSteps: 8 })).toBe(0.5);
    const schedule = "exponential" as ScheduleName;
    expect(() => learningRateAt(0, { schedule, learningRate: 1, totalSteps: 8 })).toThrow(
      /"exponential" is unknown\n.*linear, cosine or constant/,
    );
  });
});
