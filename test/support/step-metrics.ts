import type { StepMetrics } from "../../src/train/trainer.ts";

/** The metrics of a step as no run has measured them. */
export const stepMetrics = (step: number, changes: Partial<StepMetrics> = {}): StepMetrics => ({
  step,
  totalSteps: 5,
  epoch: 0,
  passes: step / 5,
  rows: ["rows.jsonl:1"],
  loss: step,
  learningRate: 1e-5,
  gradNorm: 1,
  skipped: false,
  tokens: 12,
  terms: 10,
  trainedTerms: 10 * step,
  trainedTokens: 12 * step,
  seconds: 0.5,
  peakBytes: 27_003_000_000,
  ...changes,
});
