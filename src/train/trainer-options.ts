import { PACKING_STRATEGIES } from "../data/packing.ts";
import { TOKENIZE_RULES } from "../data/tokenize/tokenize-options.ts";
import type { RunState } from "../io/formats/run-state.ts";
import { PRECISIONS, type Precision } from "../nn/module.ts";
import {
  type Bounds,
  callback,
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
} from "../util/options.ts";
import { LORA_LEARNING_RATE } from "./learning-rate.ts";
import { OPTIMIZER_DEFAULTS, type OptimizerOptions } from "./optimizer.ts";
import { OPTIMIZERS } from "./optimizers/registry.ts";
import type { PackingOptions } from "./packed.ts";
import { type Peers, WIRE_TYPES, type WireType } from "./peers.ts";
import type { ScheduleName, ScheduleShape } from "./schedule.ts";
import { SCHEDULE_RULES } from "./schedule-rules.ts";
import type { TrainState } from "./state.ts";

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
  /**
   * In how many bits activations are kept for the backward pass. 8: those that only it reads are rounded after each layer, to whole
   * numbers with a scale for each 64 of them; gradients are noisier then. 32 unless given.
   */
  activationBits?: 8 | 32;
  /**
   * `mixed`: activations and their gradients are kept in f16, which halves their memory; computed is in f32, and adapters, optimiser,
   * statistics of norms and of attention, and the loss are f32. The gradients are scaled, and the scale is halved where they overflow. `f32` unless given.
   */
  precision?: Precision;
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
   * The processes that train the same parameters together, each on its share of every micro-batch, which `batchSize` is of. All begin
   * with the state of rank 0, and are given the same items and options.
   */
  peers?: Peers;
  /** What gradients travel as between them, with error feedback where they are rounded; `f32` unless given. */
  gradientWire?: WireType;
  /**
   * Steps that each of several processes takes on its own before they take one together; 1 unless given: every step is of
   * all. What is between two meetings is this process's: its loss, and its parameters.
   */
  syncEvery?: number;
  /** Rate of the steps that are taken together where `syncEvery` is above 1; DiLoCo's 0.7 unless given. */
  outerLearningRate?: number;
  /** Nesterov momentum of these; DiLoCo's 0.9 unless given. */
  outerMomentum?: number;
  /**
   * Says after which steps, from 1, the parameters are looked at: to save them, or to evaluate. The run waits for what is
   * under way there and nowhere else, so that the next step is recorded while the device computes. Without it the parameters
   * are those of the step whose metrics came last, always.
   */
  settleAfter?: (step: number) => boolean;
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
  | "peers"
  | "onStart";
/** Options with what holds where nothing is said. */
export type RunSettings = Defaults & Pick<TrainerOptions, Absent>;

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
  activationBits: 32,
  precision: "f32",
  labelSmoothing: 0,
  zLoss: 0,
  neftuneNoiseAlpha: 0,
  seed: 0,
  shuffle: true,
  groupByLength: false,
  packing: false,
  gradientWire: "f32",
  syncEvery: 1,
  outerLearningRate: 0.7,
  outerMomentum: 0.9,
  ...OPTIMIZER_DEFAULTS,
};

/** Bounds of numbers, here and on the command line. Beyond them the first step leaves no finite value, or 32 bits round them to 0 or 1. */
export const TRAINER_BOUNDS = {
  epochs: { above: 0, max: 1e9 },
  learningRate: { above: 0, max: 1000 },
  outerLearningRate: { above: 0, max: 10 },
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
  activationBits: { wanted: "8 or 32", accepts: (value) => value === 8 || value === 32, aliases: [] },
  precision: oneOf(PRECISIONS, "fp16", "mixed_precision"),
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
  peers: objectOf("peers, as openTorchPeers gives them", (peers) => "rank" in peers && "sum" in peers),
  gradientWire: oneOf(WIRE_TYPES),
  syncEvery: integer({ min: 1 }),
  outerLearningRate: number(TRAINER_BOUNDS.outerLearningRate),
  outerMomentum: number(TRAINER_BOUNDS.beta),
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
