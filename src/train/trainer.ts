import { requireTrainable } from "../adapters/owners.ts";
import type { ItemSource } from "../data/feed/item-source.ts";
import { PACKING_STRATEGIES } from "../data/packing.ts";
import type { Sequence } from "../data/sequence.ts";
import { TOKENIZE_RULES } from "../data/tokenize/tokenize-options.ts";
import type { Device } from "../gpu/device.ts";
import type { RunState } from "../io/formats/run-state.ts";
import type { LanguageModel } from "../models/model.ts";
import type { Mirror } from "../nn/mirror.ts";
import { requireModel } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { Ahead } from "../util/ahead.ts";
import { append } from "../util/arrays.ts";
import { fail, LoraError } from "../util/fail.ts";
import {
  type Bounds,
  callback,
  checkOptions,
  either,
  FACTOR,
  flag,
  integer,
  inWords,
  isWithin,
  number,
  objectOf,
  oneOf,
  type Rules,
  withDefaults,
} from "../util/options.ts";
import { type BatchFeed, openBatches } from "./batch-feed.ts";
import { languageModelling } from "./language-modelling.ts";
import { LORA_LEARNING_RATE } from "./learning-rate.ts";
import { type Counted, type Objective, requireObjective } from "./objective.ts";
import { OPTIMIZER_DEFAULTS, Optimizer, type OptimizerOptions } from "./optimizer.ts";
import { OPTIMIZERS } from "./optimizers/registry.ts";
import type { PackingOptions } from "./packed.ts";
import { checkSchedule, learningRateAt, type ScheduleName, type ScheduleShape } from "./schedule.ts";
import { SCHEDULE_RULES } from "./schedule-rules.ts";
import { Skips } from "./skips.ts";
import { TrainState } from "./state.ts";
import { type StepBatches, stepBatches } from "./step-batches.ts";
import { type Finished, type StepPlan, Underway } from "./underway.ts";

/** Options of a training run; names as in TRL and transformers' TrainingArguments, in camel case. */
export interface TrainerOptions extends OptimizerOptions, PackingOptions {
  /** Optimiser steps; wins over `epochs`. */
  maxSteps?: number;
  /** Passes over the data where `maxSteps` is not given; 1 unless given. */
  epochs?: number;
  /** Sequences in a micro-batch, packed ones where rows are packed; 4 unless given. */
  batchSize?: number;
  /** Micro-batches in an optimiser step, 1 unless given; the last step of an epoch has those that are left, as in transformers. */
  gradientAccumulationSteps?: number;
  /** Peak rate; 2e-4 unless given. */
  learningRate?: number;
  /** How the rate changes over the run; `linear` unless given. */
  schedule?: ScheduleName;
  /** What some schedules are told beside the run's length. */
  scheduleShape?: ScheduleShape;
  /** Steps in which the rate rises from 0; 0 unless given. */
  warmupSteps?: number;
  /** The same as a share of the run; counts where `warmupSteps` is 0. */
  warmupRatio?: number;
  /** Share of each label that is spread over all classes while training, as PyTorch's `label_smoothing`; 0 unless given. */
  labelSmoothing?: number;
  /** Factor of the squared log of softmax's normaliser in the training loss (PaLM's z-loss); 0 unless given. */
  zLoss?: number;
  /** NEFTune's alpha: noise on the embeddings of words while training, such as 5; 0 unless given. */
  neftuneNoiseAlpha?: number;
  /** Recompute activations in the backward pass instead of keeping them. */
  gradientCheckpointing?: boolean;
  /** Seeds the order of the data and dropout; 0 unless given. The same seed on the same device gives the same bytes. */
  seed?: number;
  /** Draw the rows in another order each epoch; true unless given. */
  shuffle?: boolean;
  /** Draws rows of like lengths into a batch, so that little is padded; false unless given. */
  groupByLength?: boolean;
  /**
   * Computes each micro-batch in so many parts, one after the other: the same mathematics in less memory, with other bytes. 1
   * unless given, or what the state has from which the run goes on.
   */
  batchSplit?: number;
  /** Goes on from this state of a run with the same items and options. */
  resume?: RunState;
  /** Given the run's state before its first step, and waited for; where the run settles, it can be captured. */
  onStart?: (state: TrainState) => void | Promise<void>;
  /** Ends the run where it is aborted, after the steps that are under way. */
  signal?: AbortSignal;
  /**
   * Says after which steps, from 1, the parameters are looked at: to save them, or to evaluate. The run waits for what is
   * under way there and nowhere else, so that the next step is recorded while the device computes. Without it the parameters
   * are those of the step whose metrics came last, always.
   */
  settleAfter?: (step: number) => boolean;
}

/** What one optimiser step did. */
export interface StepMetrics {
  /** From 1. */
  step: number;
  /** Steps of the whole run. */
  totalSteps: number;
  /** Pass over the data, from 0. */
  epoch: number;
  /** Passes over the data by the end of the step, with the part of the last one: transformers' `epoch`. */
  passes: number;
  /** What its rows are called, as `rows.jsonl:7`. */
  rows: readonly string[];
  /** Mean −log p of the step's label tokens, before the update. */
  loss: number;
  /** Rate of this update. */
  learningRate: number;
  /** Global gradient norm before clipping. */
  gradNorm: number;
  /** The gradient was not finite, so the parameters were left as they are. */
  skipped: boolean;
  /** Of a skipped step: its rows, and the first layer whose output is not finite. */
  fault?: string;
  /** Tokens of the step, without padding. */
  tokens: number;
  /** Terms of the loss: predicted tokens, or whole texts or images. */
  terms: number;
  /** Such terms so far. */
  trainedTerms: number;
  /** Tokens so far. */
  trainedTokens: number;
  /** What the objective measures beside its loss, by TRL's names such as `rewards/chosen`; absent where it measures nothing. */
  metrics?: Readonly<Record<string, number>>;
  /** Wall-clock time of the step, seconds. */
  seconds: number;
  /** Most GPU memory in use so far. */
  peakBytes: number;
}

/** Options that have a value where none is given. */
type Defaults = Required<Omit<TrainerOptions, Absent>>;
type Absent =
  | "betas"
  | "eps"
  | "momentum"
  | "nesterov"
  | "loraplusLrEmbedding"
  | "maxSteps"
  | "nameRow"
  | "maxLength"
  | "onPacking"
  | "signal"
  | "settleAfter"
  | "batchSplit"
  | "resume"
  | "onStart";
type RunSettings = Defaults & Pick<TrainerOptions, Absent>;

/** What holds where nothing is said, here and on the command line. */
export const TRAINER_DEFAULTS: Defaults = {
  epochs: 1,
  batchSize: 4,
  gradientAccumulationSteps: 1,
  learningRate: LORA_LEARNING_RATE,
  schedule: "linear",
  scheduleShape: {},
  warmupSteps: 0,
  warmupRatio: 0,
  gradientCheckpointing: false,
  labelSmoothing: 0,
  zLoss: 0,
  neftuneNoiseAlpha: 0,
  seed: 0,
  shuffle: true,
  groupByLength: false,
  packing: false,
  ...OPTIMIZER_DEFAULTS,
};

/** Bounds of numbers, here and on the command line. Beyond them the first step leaves no finite value, or 32 bits round them to 0 or 1. */
export const TRAINER_BOUNDS = {
  epochs: { above: 0, max: 1e9 },
  learningRate: { above: 0, max: 1000 },
  beta: { min: 0, max: 0.999999 },
  eps: { min: 1e-37, max: 1 },
  weightDecay: { min: 0, max: 1000 },
  rateFactor: { min: 0, max: 1e6 },
  labelSmoothing: { min: 0, below: 1 },
  zLoss: { min: 0, max: 1 },
  neftuneNoiseAlpha: { min: 0, max: 1e6 },
  maxGradNorm: { min: 1e-12, max: FACTOR.max },
} satisfies Readonly<Record<string, Bounds>>;

const { beta: BETA } = TRAINER_BOUNDS;

/** What the options of a training run have to be. */
export const TRAINER_RULES: Rules<TrainerOptions> = {
  maxSteps: integer({ min: 1 }, "iters"),
  epochs: number(TRAINER_BOUNDS.epochs, "num_train_epochs", "numTrainEpochs"),
  batchSize: integer({ min: 1 }, "per_device_train_batch_size", "perDeviceTrainBatchSize"),
  gradientAccumulationSteps: integer({ min: 1 }, "grad_accumulation_steps"),
  learningRate: number(TRAINER_BOUNDS.learningRate, "lr"),
  ...SCHEDULE_RULES,
  gradientCheckpointing: flag("grad_checkpoint"),
  labelSmoothing: number(TRAINER_BOUNDS.labelSmoothing, "label_smoothing_factor", "labelSmoothingFactor"),
  zLoss: number(TRAINER_BOUNDS.zLoss, "z_loss_coef"),
  neftuneNoiseAlpha: number(TRAINER_BOUNDS.neftuneNoiseAlpha, "neftune_alpha"),
  seed: integer({ min: 0 }),
  shuffle: flag(),
  groupByLength: flag("train_sampling_strategy", "trainSamplingStrategy"),
  signal: objectOf("an AbortSignal", (signal) => "aborted" in signal),
  settleAfter: callback(),
  batchSplit: integer({ min: 1 }, "auto_batch"),
  resume: objectOf("a state of a run", (state) => "place" in state && "tensors" in state),
  onStart: callback(),
  packing: either(flag("sample_packing"), oneOf(PACKING_STRATEGIES), "packing_strategy", "packingStrategy"),
  maxLength: TOKENIZE_RULES.maxLength,
  onPacking: callback(),
  nameRow: callback(),
  betas: {
    wanted: `a list of two numbers${inWords(BETA)}`,
    accepts: (value) =>
      Array.isArray(value) && value.length === 2 && value.every((beta) => isWithin(beta, BETA)),
    aliases: ["adam_beta1", "adam_beta2"],
  },
  eps: number(TRAINER_BOUNDS.eps, "adam_epsilon", "epsilon"),
  optimizer: oneOf(OPTIMIZERS, "optim"),
  momentum: number(TRAINER_BOUNDS.beta),
  nesterov: flag(),
  loraplusLrRatio: number(TRAINER_BOUNDS.rateFactor, "loraplus_lr_ratio"),
  loraplusLrEmbedding: number(TRAINER_BOUNDS.learningRate, "loraplus_lr_embedding"),
  ratePattern: objectOf("factors by the names of parameters, such as { lora_B: 4 }", (pattern) =>
    Object.values(pattern).every((factor) => isWithin(factor, TRAINER_BOUNDS.rateFactor)),
  ),
  weightDecay: number(TRAINER_BOUNDS.weightDecay),
  maxGradNorm: either(number(TRAINER_BOUNDS.maxGradNorm), {
    wanted: "0",
    accepts: (x) => x === 0,
    aliases: [],
  }),
};

/** Trains `parameters` of a language model on tokenised sequences; see {@link trainObjective}. */
export async function* trainSequences(
  model: LanguageModel,
  parameters: Parameters,
  sequences: readonly Sequence[] | ItemSource<Sequence>,
  options: TrainerOptions = {},
): AsyncGenerator<StepMetrics> {
  requireModel("train", model);
  yield* trainObjective(languageModelling(model), parameters, sequences, options);
}

/**
 * Trains `parameters` for an objective, one optimiser step per iteration.
 * Stopping the iteration stops the training; the parameters keep what was learnt. Items of a list are checked before the first step; those
 * of a source are made, and checked, while the device computes the step before theirs.
 * A step whose gradient is not finite changes nothing and says why.
 *
 * While it runs, the parameters are copied to the host after every step or so, at least every 30 seconds. Where the
 * device is lost, saving the adapter writes the newest copy; where the device has no memory for a step, the parameters
 * are put back to it, and training may go on with smaller batches. `parameters.mirror` says which step the copy is of.
 * @throws LoraError for options outside their range, where nothing is to be trained on, after ten skipped steps in a
 * row or a run of nothing else, and of kind `diverged`, `out-of-memory` or `device-lost`
 */
export async function* trainObjective<Item, B extends Counted>(
  objective: Objective<Item, B>,
  parameters: Parameters,
  items: readonly Item[] | ItemSource<Item>,
  given: TrainerOptions = {},
): AsyncGenerator<StepMetrics> {
  checkOptions("train", given, TRAINER_RULES);
  const options: RunSettings = withDefaults(TRAINER_DEFAULTS, given);
  requireObjective("train", objective);
  requireTrainable("train", parameters, objective);
  checkSchedule("train", options);
  if ((options.labelSmoothing > 0 || options.zLoss > 0) && !objective.shapesLoss)
    fail("train", "the loss of this objective knows no labelSmoothing and no zLoss", "leave them out");
  if (options.neftuneNoiseAlpha > 0 && !objective.lengthOf)
    fail(
      "train",
      "neftuneNoiseAlpha adds noise to the embeddings of words, and there are none",
      "leave it out",
    );
  const { batchSplit = given.resume?.batchSplit ?? 1 } = given;
  if (batchSplit > 1 && objective.comparesItems)
    fail("train", "an item of this objective is compared with its whole batch", "leave batchSplit out");
  const feed = await openBatches(objective, items, { ...options, batchSplit });
  yield* trainFeed(objective, parameters, feed, { ...options, batchSplit });
}

async function* trainFeed<B extends Counted>(
  objective: Pick<Objective<never, B>, "device" | "loss" | "measures">,
  parameters: Parameters,
  feed: BatchFeed<B>,
  options: RunSettings,
): AsyncGenerator<StepMetrics> {
  const { signal, settleAfter = () => true } = options;
  const totalSteps = options.maxSteps ?? stepsOf(options, feed);
  const state = new TrainState(parameters, new Optimizer(parameters, options), options.batchSplit);
  if (options.resume) state.restore(options.resume);
  await options.onStart?.(state);
  const underway = await Underway.open<B>(objective, state, { ...options, totalSteps });
  const batches = new Ahead(stepBatches(feed, options, state.place));
  const undone: StepPlan<B>[] = [];
  const skips = new Skips(objective);
  let recorded = state.step;
  try {
    for (;;) {
      while (recorded < totalSteps && !signal?.aborted && underway.hasRoom(settleAfter)) {
        const step = ++recorded;
        const learningRate = learningRateAt(step - 1, { ...options, totalSteps });
        underway.record(
          undone.shift() ?? { step, learningRate, micro: (await batches.next()) as StepBatches<B> },
        );
      }
      if (recorded < totalSteps && undone.length === 0) batches.prepare();
      const finished = await underway.finish();
      if (!finished) return;
      state.finish({ ...finished, next: finished.micro.next });
      append(undone, finished.undone);
      recorded -= finished.undone.length;
      yield metricsOf(finished, { totalSteps, perEpoch: feed.perEpoch }, state, objective.device);
      await skips.add(finished.micro.batches, finished.fault, finished.step === totalSteps);
    }
  } catch (error) {
    await underway.recover();
    throw tellKept(error, parameters.mirror);
  } finally {
    await underway.close();
    state.release();
    await batches.close();
  }
}

function metricsOf<B extends Counted>(
  { micro, undone: _, ...result }: Finished<B>,
  { totalSteps, perEpoch }: Pick<StepMetrics, "totalSteps"> & Pick<BatchFeed<B>, "perEpoch">,
  { trainedTerms, trainedTokens }: TrainState,
  { memory }: Device,
): StepMetrics {
  const { epoch, next } = micro;
  const passes = next.epoch + Math.min(1, next.index / perEpoch);
  const rows = micro.names().flat();
  const soFar = { totalSteps, epoch, passes, trainedTerms, trainedTokens };
  return { ...result, ...soFar, rows, peakBytes: memory.stats.peak };
}

/** An error of the device, with what became of the adapter. */
function tellKept(error: unknown, mirror: Mirror | undefined): unknown {
  const isDevices = error instanceof LoraError && ["device-lost", "out-of-memory"].includes(error.kind);
  const newest = mirror?.newest;
  if (!isDevices || !newest || newest.step === 0) return error;
  return new LoraError(error.kind, "train", error, `what was learnt until step ${newest.step} can be saved`);
}

function stepsOf(
  { epochs, gradientAccumulationSteps }: RunSettings,
  { perEpoch }: Pick<BatchFeed<unknown>, "perEpoch">,
): number {
  const stepsPerEpoch = Math.ceil(perEpoch / gradientAccumulationSteps);
  return Math.max(1, Math.ceil(stepsPerEpoch * epochs));
}
