import { methodKind } from "../adapters/method-kinds.ts";
import { requireTrainable, typeOfOwner } from "../adapters/owners.ts";
import type { ItemSource } from "../data/feed/item-source.ts";
import type { Sequence } from "../data/sequence.ts";
import type { Device } from "../gpu/device.ts";
import { ROUNDING } from "../kernels/late-rounding.ts";
import type { LanguageModel } from "../models/model.ts";
import type { Mirror } from "../nn/mirror.ts";
import { requireModel } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { Ahead } from "../util/ahead.ts";
import { append } from "../util/arrays.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
import { checkOptions, withDefaults } from "../util/options.ts";
import { openBatches } from "./batch-feed.ts";
import type { BatchFeed } from "./collated.ts";
import { languageModelling } from "./language-modelling.ts";
import { type Counted, type Objective, requireObjective } from "./objective.ts";
import { Optimizer } from "./optimizer.ts";
import { loadOptimizer } from "./optimizers/registry.ts";
import { ALONE, type Peers, type Traffic } from "./peers.ts";
import { checkSchedule, learningRateAt } from "./schedule.ts";
import { Skips } from "./skips.ts";
import { TrainState } from "./state.ts";
import { type StepBatches, stepBatches } from "./step-batches.ts";
import type { Team } from "./team.ts";
import { type RunSettings, TRAINER_DEFAULTS, TRAINER_RULES, type TrainerOptions } from "./trainer-options.ts";
import { type Finished, type StepPlan, Underway } from "./underway.ts";

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
  /** What the gradients were multiplied by while they were in f16; absent but in mixed precision. */
  lossScale?: number;
  /** Wall-clock time of the step, seconds. */
  seconds: number;
  /** What this process has sent to its peers for the step, and how long it waited for theirs; absent where it is alone. */
  traffic?: Traffic;
  /** Most GPU memory in use so far. */
  peakBytes: number;
}

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
  if (options.precision === "mixed") requireHalves(objective.device, parameters, options);
  const type = typeOfOwner(parameters);
  // What writes the adapter is loaded before hours of training: by then a page may be offline, or its site have other files.
  if (type !== undefined) await Promise.all([methodKind(type), import("../load/adapter-card.ts")]);
  await loadOptimizer(options.optimizer);
  if (options.activationBits === 8) await ROUNDING.load();
  if (given.peers) await loadOptimizer("sgd"); // of the steps that they take together
  const { batchSplit = given.resume?.batchSplit ?? 1, peers } = given;
  if ((batchSplit > 1 || peers) && objective.comparesItems) {
    const name = peers ? "peers" : "batchSplit";
    fail("train", "an item of this objective is compared with its whole batch", `leave ${name} out`);
  }
  const share = peers ?? ALONE;
  const batchSize = options.batchSize * share.size;
  const fillsShares = options.syncEvery > 1; // a step on one's own needs a row
  const drawn = { ...options, batchSize, batchSplit, share, fillsShares };
  const feed = await openBatches(objective, items, drawn);
  yield* trainFeed(objective, parameters, feed, { ...options, batchSplit });
}

/** @throws LoraError that lists what mixed precision is not for */
function requireHalves(
  { info }: Device,
  parameters: Parameters,
  { peers, activationBits }: RunSettings,
): void {
  const problems = new Problems();
  if (!info.f16) problems.push(`shaders of ${info.name} have no f16`);
  if (peers) problems.push("several processes train together");
  if (activationBits === 8) problems.push("activationBits is 8, which is less");
  if (parameters.penalty || parameters.afterStep)
    problems.push("the method reads the gradients themselves, which are scaled");
  failAll("train with precision mixed", problems, "leave precision out: f32");
}

async function* trainFeed<B extends Counted>(
  objective: Pick<Objective<never, B>, "device" | "loss" | "placing" | "measures">,
  parameters: Parameters,
  feed: BatchFeed<B>,
  options: RunSettings,
): AsyncGenerator<StepMetrics> {
  const { signal, settleAfter = () => true, peers } = options;
  const totalSteps = options.maxSteps ?? stepsOf(options, feed);
  const team = peers && (await openTeam(peers, parameters, options));
  const { batchSplit } = options;
  const optimizer = new Optimizer(parameters, options);
  const state = new TrainState(parameters, optimizer, { batchSplit, ...(team && { outer: team.state }) });
  if (options.resume) state.restore(options.resume);
  await team?.begin(state);
  await options.onStart?.(state);
  const joined = { rank: peers?.rank ?? 0, exchange: team?.everyStep };
  const underway = await Underway.open<B>(objective, state, { ...options, ...joined, totalSteps });
  const settles = (step: number) => team?.meetsAfter(step, totalSteps) || settleAfter(step);
  const batches = new Ahead(stepBatches(feed, options, state.place));
  let undone: StepPlan<B>[] = [];
  const skips = new Skips(objective);
  let recorded = state.step;
  let isOver = false;
  try {
    for (;;) {
      while (!isOver && recorded < totalSteps && underway.hasRoom(settles)) {
        const stops = signal?.aborted === true;
        if (stops && !peers) break; // several agree on where they stop
        const step = ++recorded;
        const learningRate = learningRateAt(step - 1, { ...options, totalSteps });
        const plan = undone.shift() ?? {
          step,
          learningRate,
          micro: (await batches.next()) as StepBatches<B>,
        };
        const recording = underway.record(plan, stops);
        if (recorded < totalSteps && undone.length === 0) batches.prepare();
        isOver = !(await recording);
      }
      const finished = await underway.finish();
      if (!finished) return;
      if (finished.isTriedAgain) {
        undone = [...finished.undone, ...undone];
        recorded -= finished.undone.length;
        continue;
      }
      state.finish({ ...finished, next: finished.micro.next });
      append(undone, finished.undone);
      recorded -= finished.undone.length;
      if (team?.meetsAfter(finished.step, totalSteps)) isOver = await team.meet(signal?.aborted === true);
      const metrics = metricsOf(finished, { totalSteps, perEpoch: feed.perEpoch }, state, objective.device);
      yield { ...metrics, ...(team && { traffic: team.takeTraffic() }) };
      await skips.add(finished.micro.batches, finished.fault, finished.step === totalSteps);
    }
  } catch (error) {
    await underway.recover();
    throw tellKept(error, parameters.mirror);
  } finally {
    await underway.close();
    state.release();
    team?.release();
    await batches.close();
  }
}

/** The processes that train together; who trains alone loads nothing of it. */
async function openTeam(peers: Peers, parameters: Parameters, options: RunSettings): Promise<Team> {
  const { Team } = await import("./team.ts");
  return new Team(peers, parameters, options);
}

function metricsOf<B extends Counted>(
  { micro, undone: _, isTriedAgain: __, ...result }: Finished<B>,
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
