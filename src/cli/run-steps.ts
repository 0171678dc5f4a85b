import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { FileContent } from "../io/files/files.ts";
import { type RunState, runStateFiles } from "../io/formats/run-state.ts";
import { adapterFiles, isSupersededByAdapter } from "../load/adapter.ts";
import { folderWriter } from "../platform/node-folders/folder-writer.ts";
import { withoutOthersCard } from "../platform/node-folders/own-card.ts";
import type { BestEvaluation } from "../train/best.ts";
import type { BeginTraining, Loss } from "../train/losses.ts";
import type { OptimizerOptions } from "../train/optimizer.ts";
import { Run as TrainingRun } from "../train/run.ts";
import type { ScheduleShape } from "../train/schedule.ts";
import type { StepMetrics } from "../train/trainer.ts";
import type { TrainerOptions } from "../train/trainer-options.ts";
import { fail, LoraError, messageOf } from "../util/fail.ts";
import { camelCase } from "../util/names.ts";
import { cardNotes } from "./card-notes.ts";
import { checkpointPath, pruneCheckpoints, readCheckpoint } from "./checkpoints.ts";
import { describeDevice } from "./format.ts";
import { sha256 } from "./identity.ts";
import {
  type Interrupt,
  type Uncaught,
  unlessInterrupted,
  watchInterrupt,
  watchUncaught,
} from "./interrupt.ts";
import { WIRE_OF_HOOK } from "./ranks.ts";
import { createReporter, type Reporter } from "./reporter.ts";
import { printLines } from "./terminal.ts";
import type { Run, TrainSettings } from "./training-run.ts";
import { bestOptions, validate, validateFirst } from "./validation.ts";
import { type RunWatch, watchRun } from "./watch/watch-run.ts";

/**
 * Trains with a report, and saves what was learnt whatever the end is: the last step, a signal, a lost device, any error.
 * @returns the exit code
 * @throws what ended the run, once the adapter is saved
 */
export async function runSteps(run: Run): Promise<number> {
  if (run.peers && run.peers.rank > 0) return followSteps(run);
  const { settings, terminal, resumed } = run;
  const reporter = createReporter(terminal, settings.logging_steps);
  const learnt = resumed?.state.optimizer.updates ?? 0;
  const progress: Progress = {
    learnt,
    last: undefined,
    ready: undefined,
    hasSaved: false,
    kept: undefined,
  };
  const watch = watchRun({
    folder: settings.output_dir,
    reports: settings.report_to,
    about: run.about,
    config: run.config,
    resumed: resumed && { step: resumed.state.step, folder: dirname(resumed.path) },
    tell: reporter.note,
  });
  run.losses.goOnFrom(watch.before);
  if (!resumed) await validateFirst(run, reporter, watch); // before signals are caught: there is nothing to save yet
  const interrupt = watchInterrupt(() =>
    terminal.note("Stopping after this step; Ctrl-C again stops at once."),
  );
  const uncaught = watchUncaught();
  try {
    await trainSteps(run, progress, reporter, { interrupt, uncaught, watch });
    await save(run, progress);
    reporter.note(progress.kept ? `Saved final weights to ${progress.kept.folder}.` : NOTHING_LEARNT);
    watch.end(interrupt.exitCode === undefined ? "finished" : "interrupted");
  } catch (error) {
    reporter.close();
    watch.end("failed", error);
    const isDiverged = error instanceof LoraError && error.kind === "diverged";
    for (const line of isDiverged ? [DIVERGED] : await saveAfter(run, progress)) terminal.note(line);
    throw error;
  } finally {
    reporter.close();
    interrupt.release();
    uncaught.release();
  }
  return interrupt.exitCode ?? 0;
}

/** Trains as one of several processes, of which rank 0 reports, evaluates and saves. @returns the exit code */
async function followSteps({ live, settings, peers }: Run): Promise<number> {
  const stop = new AbortController();
  const interrupt = watchInterrupt(() => stop.abort());
  try {
    const options = { ...trainerOptions(settings), ...(peers && { peers }), signal: stop.signal };
    for await (const _ of live.train.train(live.adapter.parameters, options));
    return interrupt.exitCode ?? 0;
  } finally {
    interrupt.release();
  }
}

const DIVERGED = "The adapter computes no numbers any more, so it is not saved.";
const NOTHING_LEARNT = "Nothing was learnt yet, so nothing is saved.";

/** How far a run is. */
interface Progress {
  /** Steps that changed the adapter. */
  learnt: number;
  last: StepMetrics | undefined;
  /** The newest files of the adapter that were read from a device. */
  ready: ReadyFiles | undefined;
  /** It was tried to save the adapter at the end. */
  hasSaved: boolean;
  /** What was saved then: of which step, and where. */
  kept: { readonly step: number; readonly folder: string } | undefined;
}

/** The files of the adapter as it was after a step. */
interface ReadyFiles {
  readonly step: number;
  readonly files: ReadonlyMap<string, FileContent>;
}

async function trainSteps(
  run: Run,
  progress: Progress,
  reporter: Reporter,
  { interrupt, uncaught, watch }: { interrupt: Interrupt; uncaught: Uncaught; watch: RunWatch },
): Promise<void> {
  const { settings, resumed, peers } = run;
  const stop = new AbortController();
  interrupt.came.then(() => stop.abort());
  const options = {
    ...trainerOptions(settings),
    ...(peers && { peers }),
    ...(resumed && { resume: resumed.state }),
  };
  const begin: BeginTraining = (given) => {
    const { train, adapter } = run.live;
    return train.train(adapter.parameters, { ...options, ...given });
  };
  const steps = new TrainingRun(begin, {
    evalSteps: settings.eval_steps,
    evaluate: (step) => unlessInterrupted(validate(run, step, reporter, watch), interrupt),
    ...bestOptions(settings),
    ...(settings.load_best_model_at_end && {
      loadBest: (best) => loadBest(run, progress, best, reporter),
    }),
    saveSteps: settings.save_steps,
    save: (state, best) => saveCheckpoint(run, state, best, reporter),
    onStep(metrics) {
      uncaught.check();
      progress.last = metrics;
      if (!metrics.skipped) progress.learnt++;
      run.losses.step(metrics);
      reporter.step(metrics);
    },
    async finish() {
      await keepReady(run, progress);
      await run.live.model.device.check(); // where it is lost, these are of an earlier step
    },
    observer: watch.observer,
    updateNormSteps: watch.wantsNorms ? settings.logging_steps : 0,
    signal: stop.signal,
    best: resumed?.notes.best,
    // Of several processes, one that goes on by itself would leave the others behind: all begin again.
    ...(settings.recover && !peers && { recover: (loss) => recover(run, progress, loss, begin, reporter) }),
    ...(settings.auto_batch && { mostParts: settings.per_device_train_batch_size }),
  });
  await steps.start();
  uncaught.check();
  if (steps.stoppedEarly) reporter.note(describeEarlyStop(steps));
  if (interrupt.exitCode === undefined || !progress.last) return;
  reporter.note(`Interrupted after step ${progress.last.step} of ${progress.last.totalSteps}.`);
}

function describeEarlyStop({ best, last }: TrainingRun): string {
  const { metric = "loss", misses = 0, step = 0 } = best ?? {};
  const at = last ? `Stopped after step ${last.step} of ${last.totalSteps}` : "Nothing more is learnt";
  return `${at}: in ${misses} evaluations the ${metric} was no better than after step ${step}.`;
}

/** Begins again on another device; what was learnt stays at hand until the run goes on there. */
async function recover(
  run: Run,
  progress: Progress,
  { error, step, attempt, batchSplit }: Loss,
  begin: BeginTraining,
  reporter: Reporter,
): Promise<BeginTraining> {
  const [what = ""] = error.message.split("\n");
  reporter.note(`warning: ${what}`);
  reporter.note(`A new device is asked for${attempt > 1 ? `, attempt ${attempt}` : ""}.`);
  await keepReady(run, progress).catch(() => {}); // there may be nothing yet
  run.live.model.device.close();
  run.live = await run.reopen();
  reporter.note(`${describeDevice(run.live.model.device.info)}; the run goes on after step ${step}.`);
  if (batchSplit > 1) reporter.note(`Each micro-batch is computed in ${batchSplit} parts from here on.`);
  return begin;
}

/** The state behind the best evaluation. The last step's adapter is no reason to lose the run. */
async function loadBest(
  { settings, resumed }: Run,
  progress: Progress,
  best: BestEvaluation,
  reporter: Reporter,
): Promise<RunState | undefined> {
  const { metric = "loss", value = best.loss, step } = best;
  const folders = [settings.output_dir, ...(resumed ? [dirname(resumed.path)] : [])];
  const path = folders.map((folder) => checkpointPath(folder, step)).find((path) => existsSync(path));
  try {
    if (path === undefined) fail("load_best_model_at_end", `checkpoint-${step} is not there any more`);
    const { state } = await readCheckpoint(path);
    progress.ready = undefined; // it is newer, and not what is wanted
    reporter.note(
      `The best is the adapter of step ${step}, with ${metric} ${value.toFixed(4)}: it is taken.`,
    );
    return state;
  } catch (error) {
    const what = "the adapter of the last step is taken, not the best";
    printLines(reporter.note, `warning: ${what}: ${messageOf(error)}`);
    return undefined;
  }
}

/** A checkpoint that cannot be written, as where the disk is full, does not end the run: it may be better at the end. */
async function saveCheckpoint(
  run: Run,
  state: RunState,
  best: BestEvaluation | undefined,
  reporter: Reporter,
): Promise<void> {
  const { settings, notes } = run;
  const { output_dir, save_total_limit } = settings;
  const { step } = state;
  const folder = checkpointPath(output_dir, step);
  const files = await filesOf(run);
  await run.live.model.device.check(); // where it is lost the files are those of an earlier step
  const noted = { ...notes, ...(best && { best }) };
  for (const [name, content] of runStateFiles(state, noted, sha256)) files.set(name, content);
  try {
    await write(files, folder);
    reporter.note(`Iter ${step}: Saved adapter weights to ${folder}.`);
    if (save_total_limit !== undefined) pruneCheckpoints(output_dir, save_total_limit, best?.step);
  } catch (error) {
    const what = `Iter ${step}: not saved, the training goes on`;
    printLines(reporter.note, `warning: ${what}: ${messageOf(error)}`);
  }
}

/**
 * Saves the adapter as it is, or as it was when last copied to the host, unless nothing was learnt until then.
 * @throws LoraError where the folder cannot be written to; the adapter is in another one then
 */
async function save(run: Run, progress: Progress): Promise<void> {
  progress.hasSaved = true;
  if (progress.learnt === 0) return;
  const { settings } = run;
  const { step, files } = await keepReady(run, progress);
  if (step === 0) {
    progress.learnt = 0; // it went with the device
    return;
  }
  try {
    await write(files, settings.output_dir);
    progress.kept = { step, folder: settings.output_dir };
  } catch (error) {
    const folder = await mkdtemp(join(tmpdir(), "webgpu-lora-adapter-"));
    const isWritten = await write(files, folder).then(
      () => true,
      () => false,
    );
    if (isWritten) progress.kept = { step, folder };
    throw error;
  }
}

/** Saves after an error, which must not be hidden by another one. Returns what to say of it. */
async function saveAfter(run: Run, progress: Progress): Promise<string[]> {
  let problem: unknown;
  if (!progress.hasSaved) {
    await save(run, progress).catch((error) => {
      problem = error;
    });
  }
  const { learnt, last, kept } = progress;
  const lines = problem === undefined ? [] : [`error: ${messageOf(problem)}`];
  if (!kept) return learnt === 0 ? [...lines, NOTHING_LEARNT] : lines;
  return [
    ...lines,
    `Saved the adapter as it was after step ${kept.step} of ${last?.totalSteps} to ${kept.folder}.`,
    `--resume-adapter-file ${kept.folder} goes on from it.`,
  ];
}

/** The newest that there is of the adapter: a run that has just begun anew on another device has less of it than before. */
async function keepReady(run: Run, progress: Progress): Promise<ReadyFiles> {
  try {
    const files = await filesOf(run);
    const step = run.live.adapter.parameters.mirror?.newest?.step ?? 0;
    if (step >= (progress.ready?.step ?? 0)) progress.ready = { files, step };
  } catch (error) {
    if (!progress.ready) throw error;
  }
  return progress.ready as ReadyFiles;
}

/** PEFT's files, a model card, and the template that chats were trained with. */
async function filesOf({ live, losses, settings, notes }: Run): Promise<Map<string, FileContent>> {
  const { adapter, train } = live;
  const { chatTemplate } = train;
  const card = cardNotes({ ...live, settings, notes }, losses.rows());
  return adapterFiles(adapter, { card, ...(chatTemplate !== undefined && { chatTemplate }) });
}

async function write(files: ReadonlyMap<string, FileContent>, folder: string): Promise<void> {
  await folderWriter(folder).write(await withoutOthersCard(folder, files), isSupersededByAdapter);
}

/** The settings as the library has them. */
export function trainerOptions(settings: TrainSettings): TrainerOptions {
  const { max_steps } = settings;
  return {
    ...(max_steps !== undefined && max_steps > 0 && { maxSteps: max_steps }),
    epochs: settings.num_train_epochs,
    batchSize: settings.per_device_train_batch_size,
    gradientAccumulationSteps: settings.gradient_accumulation_steps,
    learningRate: settings.learning_rate,
    schedule: settings.lr_scheduler_type,
    scheduleShape: shapeOf(settings),
    warmupSteps: settings.warmup_steps,
    warmupRatio: settings.warmup_ratio,
    ...optimizerOptions(settings),
    labelSmoothing: settings.label_smoothing_factor,
    zLoss: settings.z_loss,
    neftuneNoiseAlpha: settings.neftune_noise_alpha,
    gradientCheckpointing: settings.gradient_checkpointing,
    activationBits: settings.activation_bits,
    precision: settings.precision,
    packing: settings.packing && settings.packing_strategy,
    groupByLength: settings.group_by_length,
    gradientWire: WIRE_OF_HOOK[settings.ddp_comm_hook],
    syncEvery: settings.sync_every,
    outerLearningRate: settings.outer_learning_rate,
    outerMomentum: settings.outer_momentum,
    seed: settings.seed,
  };
}

function shapeOf({ lr_scheduler_kwargs }: TrainSettings): ScheduleShape {
  const entries = Object.entries(lr_scheduler_kwargs);
  return Object.fromEntries(entries.map(([name, value]) => [camelCase(name), value]));
}

/** What is not given stays away, for each optimiser has defaults of its own. */
function optimizerOptions(settings: TrainSettings): OptimizerOptions {
  const { optim, adam_beta1, adam_beta2, adam_epsilon, momentum, nesterov } = settings;
  const { loraplus_lr_embedding } = settings;
  const beta2 = adam_beta2 ?? (optim === "lion" ? 0.99 : 0.999);
  const hasBetas = adam_beta1 !== undefined || adam_beta2 !== undefined;
  return {
    optimizer: optim,
    ...(hasBetas && { betas: [adam_beta1 ?? 0.9, beta2] }),
    ...(adam_epsilon !== undefined && { eps: adam_epsilon }),
    ...(momentum !== undefined && { momentum }),
    ...(nesterov !== undefined && { nesterov }),
    loraplusLrRatio: settings.loraplus_lr_ratio,
    ...(loraplus_lr_embedding !== undefined && { loraplusLrEmbedding: loraplus_lr_embedding }),
    ratePattern: settings.rate_pattern,
    weightDecay: settings.weight_decay,
    maxGradNorm: settings.max_grad_norm,
  };
}
