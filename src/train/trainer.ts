import { type Batch, batchStream } from "../data/batch.ts";
import type { Sequence } from "../data/tokenize.ts";
import { readTogether, scoped, type Tensor } from "../gpu/tensor.ts";
import type { LanguageModel } from "../models/model.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail, failAll } from "../util/fail.ts";
import { AdamW, type AdamWOptions } from "./optimizer.ts";
import { accumulateGradients } from "./pass.ts";
import { learningRateAt, type ScheduleName } from "./schedule.ts";

/** Options of a training run; names as in TRL and transformers' TrainingArguments, in camel case. */
export interface TrainerOptions extends AdamWOptions {
  /** Optimiser steps; wins over `epochs`. */
  maxSteps?: number;
  /** Passes over the data where `maxSteps` is not given. */
  epochs?: number;
  /** Sequences in a micro-batch. */
  batchSize?: number;
  /** Micro-batches in an optimiser step. */
  gradientAccumulationSteps?: number;
  learningRate?: number;
  schedule?: ScheduleName;
  warmupSteps?: number;
  /** Recompute activations in the backward pass instead of keeping them. */
  gradientCheckpointing?: boolean;
  /** Seeds the order of the data and dropout. */
  seed?: number;
  /** Keep the data's order. */
  shuffle?: boolean;
}

/** What one optimiser step did. */
export interface StepMetrics {
  /** From 1. */
  step: number;
  totalSteps: number;
  epoch: number;
  /** Mean −log p of the step's label tokens, before the update. */
  loss: number;
  learningRate: number;
  /** Global gradient norm before clipping. */
  gradNorm: number;
  /** The gradient was not finite, so the parameters were left as they are. */
  skipped: boolean;
  /** Tokens of the step, without padding. */
  tokens: number;
  /** Tokens that gave a loss. */
  labelTokens: number;
  /** Label tokens so far. */
  trainedTokens: number;
  /** Wall-clock time of the step. */
  seconds: number;
  /** Most GPU memory in use so far. */
  peakBytes: number;
}

type Settled = TrainerOptions & Required<Omit<TrainerOptions, "maxSteps" | keyof AdamWOptions>>;

const DEFAULTS: Settled = {
  epochs: 1,
  batchSize: 4,
  gradientAccumulationSteps: 1,
  learningRate: 2e-4,
  schedule: "linear",
  warmupSteps: 0,
  gradientCheckpointing: false,
  seed: 0,
  shuffle: true,
};

/**
 * Trains `parameters` of a model on tokenised sequences with AdamW, one optimiser step per iteration.
 * Stopping the iteration stops the training; the parameters keep what was learnt.
 */
export async function* trainSequences(
  model: LanguageModel,
  parameters: Parameters,
  sequences: readonly Sequence[],
  given: TrainerOptions = {},
): AsyncGenerator<StepMetrics> {
  const options: Settled = { ...DEFAULTS, ...given };
  checkOptions(options, sequences);
  const totalSteps = options.maxSteps ?? stepsOf(options, sequences.length);
  const optimizer = new AdamW(parameters, options);
  const batches = stepBatches(sequences, options);
  let trainedTokens = 0;
  try {
    for (let step = 0; step < totalSteps; step++) {
      const started = performance.now();
      const { epoch, batches: micro } = batches.next().value;
      const learningRate = learningRateAt(step, { ...options, totalSteps });
      const result = await runStep(model, parameters, optimizer, micro, { ...options, learningRate, step });
      trainedTokens += result.labelTokens;
      const seconds = (performance.now() - started) / 1000;
      const { peak } = model.device.memory.stats;
      yield {
        step: step + 1,
        totalSteps,
        epoch,
        learningRate,
        ...result,
        trainedTokens,
        seconds,
        peakBytes: peak,
      };
    }
  } finally {
    optimizer.release();
  }
}

function checkOptions(options: Settled, sequences: readonly Sequence[]): void {
  const problems: string[] = [];
  if (sequences.length === 0) fail("train", "there is nothing to train on", "see the report of dropped rows");
  for (const name of ["batchSize", "gradientAccumulationSteps"] as const) {
    if (!Number.isInteger(options[name]) || options[name] < 1)
      problems.push(`${name} is ${options[name]}, wanted 1 or more`);
  }
  if (options.maxSteps !== undefined && !(options.maxSteps >= 1))
    problems.push(`maxSteps is ${options.maxSteps}, wanted 1 or more`);
  if (!(options.learningRate > 0))
    problems.push(`learningRate is ${options.learningRate}, wanted a positive number`);
  failAll("train", problems);
}

function stepsOf({ epochs, batchSize, gradientAccumulationSteps }: Settled, rows: number): number {
  const micro = Math.ceil(rows / batchSize);
  return Math.max(1, Math.round((micro * epochs) / gradientAccumulationSteps));
}

/** The micro-batches of one optimiser step after another. */
function* stepBatches(
  sequences: readonly Sequence[],
  options: Settled,
): Generator<{ epoch: number; batches: Batch[] }, never> {
  const { batchSize, gradientAccumulationSteps, seed, shuffle } = options;
  const stream = batchStream(sequences, { batchSize, padTokenId: 0, ...(shuffle && { shuffleSeed: seed }) });
  for (;;) {
    const micro = Array.from({ length: gradientAccumulationSteps }, () => stream.next().value);
    yield { epoch: micro[0]?.epoch ?? 0, batches: micro.map(({ batch }) => batch) };
  }
}

interface StepOptions {
  learningRate: number;
  step: number;
  seed: number;
  gradientCheckpointing: boolean;
}

type StepResult = Pick<StepMetrics, "loss" | "gradNorm" | "skipped" | "tokens" | "labelTokens">;

async function runStep(
  model: LanguageModel,
  parameters: Parameters,
  optimizer: AdamW,
  batches: readonly Batch[],
  { learningRate, step, seed, gradientCheckpointing }: StepOptions,
): Promise<StepResult> {
  const [loss, norm] = scoped(model.device, () => {
    optimizer.zeroGradients();
    const pass = { seed: passSeed(seed, step), checkpoint: gradientCheckpointing };
    const sum = accumulateGradients(model, parameters, optimizer.gradients, batches, pass);
    return [sum, optimizer.step(learningRate)];
  }) as [Tensor, Tensor];
  const labelTokens = count(batches, "labelTokens");
  try {
    const [norms, losses] = await readTogether([norm, loss]);
    const [gradNorm = 0, clip = 0] = new Float32Array(norms?.buffer ?? []);
    const [sum = 0] = new Float32Array(losses?.buffer ?? []);
    const tokens = count(batches, "tokens");
    return { loss: sum / labelTokens, gradNorm, skipped: clip === 0, tokens, labelTokens };
  } finally {
    for (const { storage } of [loss, norm]) model.device.memory.release(storage);
  }
}

const count = (batches: readonly Batch[], field: "tokens" | "labelTokens") =>
  batches.reduce((sum, batch) => sum + batch[field], 0);

/** Dropout differs from step to step and from micro-batch to micro-batch. */
const passSeed = (seed: number, step: number) => (Math.imul(seed + 1, 0x9e3779b1) + step * 4096) >>> 0;
