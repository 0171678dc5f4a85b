import { type Adapter, attach } from "../../adapters/adapter.ts";
import type { LayerInputs } from "../../adapters/lora/initial/eva.ts";
import { methodKind } from "../../adapters/method-kinds.ts";
import { labelNames } from "../../data/rows/labelled.ts";
import { hasReference, type TrainingTask } from "../../data/task-names.ts";
import { ADAPTER_FILES } from "../../load/adapter.ts";
import { baseDigest } from "../../load/base-digest.ts";
import type { LoadedModel } from "../../load/model.ts";
import { originalWeights } from "../../load/original-weights.ts";
import { type LanguageModel, requireTask, type Task } from "../../models/model.ts";
import { checkIsNotModel } from "../../platform/node-folders/merged-folder.ts";
import { holdsOthersCard } from "../../platform/node-folders/own-card.ts";
import { nodeHash } from "../../platform/node-hash.ts";
import { type LabelledSequence, layerInputs } from "../../train/layer-inputs.ts";
import { checkRates } from "../../train/parameter-rates.ts";
import type { Peers } from "../../train/peers.ts";
import { usualLearningRate } from "../../train/tasks/usual-rate.ts";
import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import type { Resumed } from "../checkpoints.ts";
import { configText } from "../config-text.ts";
import { describeLearningRate, describeParameters } from "../format.ts";
import { dataDigest } from "../identity.ts";
import { chooseHead } from "../labels.ts";
import { methodFor } from "../last-layers.ts";
import { LossCurve } from "../loss-curve.ts";
import { kindNamed, methodOf } from "../method-table.ts";
import {
  type AdapterReference,
  adapterReference,
  type ChooseHead,
  openCliAdapter,
  openCliTask,
} from "../open.ts";
import { claimOutputFolder, holdsAdapter } from "../output-folder.ts";
import { fittingBatch, type UnsizedRun } from "../plan/fit-batch.ts";
import { agreedBatch, amongRanks, requireSameRun } from "../ranks.ts";
import { batchOf, comparedSettings, openResumed, resumeRemarks } from "../resume.ts";
import { runSteps, trainerOptions } from "../run-steps.ts";
import type { Settled } from "../settings.ts";
import type { TRAIN_OPTIONS } from "../tables/train.ts";
import type { Parts } from "../tables-of-rows.ts";
import type { TaskRows } from "../task.ts";
import { TASKS } from "../tasks.ts";
import type { Terminal } from "../terminal.ts";
import { BATCH, type GivenSettings } from "../train-settings.ts";
import type { OnDevice, TrainSettings } from "../training-run.ts";
import { checkJudged } from "../validation.ts";
import { packageVersion } from "../version.ts";
import { wakingRemarks } from "../waking-rows.ts";
import { runPlan } from "./plan.ts";

/**
 * `webgpu-lora train`: everything that can be checked is checked before the model is loaded.
 * @returns the exit code
 */
export async function runTrain(
  { settings: asked, given }: Settled<typeof TRAIN_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const settings = given.has("learning_rate")
    ? asked
    : { ...asked, learning_rate: usualLearningRate(asked.task) };
  if (settings.dry_run) return runPlan({ settings }, terminal);
  const ranked = (own: Terminal, peers: Peers | undefined) => trainAmong(peers, { settings, given }, own);
  return amongRanks(terminal, settings.ddp_timeout, ranked);
}

/** Trains as one of several processes, or alone. @returns the exit code */
async function trainAmong(
  peers: Peers | undefined,
  asked: GivenSettings,
  terminal: Terminal,
): Promise<number> {
  const { settings, given } = asked;
  const print = (line: string) => terminal.print(line);
  const warn = (line: string) => print(`warning: ${line}`);
  const prepared = await prepare(asked, peers, terminal);
  const { checkpoint } = prepared;
  const opened = await openTrained(settings, prepared, print);
  const { model, adapter, parameters, files } = opened;
  checkTrained(adapter, settings);
  for (const line of (await methodKind(adapter.method.type))?.remarks?.(adapter) ?? []) warn(line);
  print(`Model: ${model.name}`);
  const trainable = trainableCount(adapter);
  print(describeParameters(trainable, parameters));
  if (!given.has("learning_rate")) print(describeLearningRate(settings.learning_rate, model.hub?.repo));

  const ofData: string[] = [];
  const rows = await bindRows(settings, prepared, opened, (line) => {
    ofData.push(line);
    print(line);
  });
  for (const line of wakingRemarks(adapter, rows.train.items)) warn(line);
  const wanted = await rowsOfBatch(asked, prepared, { files, model, rows: rows.train }, print);
  const agreed = peers ? await agreedBatch(peers, wanted, checkpoint !== undefined) : wanted;
  const sized = { ...settings, [BATCH]: agreed };
  const notes = {
    settings: comparedSettings(sized, peers),
    identity: {
      base: await baseDigest(files, nodeHash),
      data: await dataDigest(settings.data, settings.task),
    },
    versions: { "webgpu-lora": packageVersion(), device: model.device.info.name },
  };
  if (peers) await requireSameRun(peers, notes);
  if (checkpoint) for (const line of resumeRemarks(checkpoint, notes, settings.force)) warn(line);
  const silent = () => {};
  const reopen = async () => {
    const again = await openTrained(settings, prepared, silent);
    const { model, adapter } = again;
    return { model, adapter, ...(await bindRows(settings, prepared, again, silent)) };
  };
  const about = {
    ...{
      model: model.name,
      task: settings.task,
      trainable,
      parameters: parameters + trainable,
      data: ofData,
    },
    ...{ settings: savedSettings(sized), given: [...given], versions: notes.versions },
  };
  const config = configText(sized, sized[BATCH] === settings[BATCH] ? given : new Set([...given, BATCH]));
  return runSteps({
    ...{ live: { model, adapter, ...rows }, reopen, settings: sized, terminal, peers, resumed: checkpoint },
    ...{ notes, losses: new LossCurve(), about, config },
  });
}

/** What is read and checked before the model is loaded. */
interface Prepared {
  /** Without rows to be judged by where another process evaluates. */
  readonly data: Parts<TaskRows>;
  readonly head: ChooseHead<Task>;
  /** The adapter that is trained on; undefined for a new one. */
  readonly resumed: AdapterReference | undefined;
  readonly checkpoint: Resumed | undefined;
  /** Told of what takes long, also when a lost device has it computed again. */
  readonly tell: (line: string) => void;
}

async function prepare(
  asked: GivenSettings,
  peers: Peers | undefined,
  terminal: Terminal,
): Promise<Prepared> {
  const { settings, given } = asked;
  const isLeader = !peers || peers.rank === 0;
  const tell = (line: string) => terminal.print(line);
  if (!peers && settings.sync_every > 1)
    fail("sync_every", "there is one process, which has nobody to meet", "start several by torchrun");
  methodOf(settings.method, settings); // its options are checked before anything is read
  const { task, output_dir, seed } = settings;
  const resumed = adapterReference(settings.resume_adapter_file, settings);
  const data = await TASKS[task].readTraining(settings);
  checkJudged(given, data.valid !== undefined);
  await checkIsNotModel(output_dir, settings.model);
  if (isLeader) claimOutputFolder(output_dir, { files: ADAPTER_FILES, checkpoints: settings.save_steps > 0 });
  const checkpoint = isLeader ? await openResumed(asked, peers, terminal) : undefined;
  if (holdsAdapter(output_dir)) tell(`${output_dir} holds an adapter; it will be replaced`);
  if (await holdsOthersCard(output_dir)) tell(`${output_dir} holds a README.md, which stays as it is`);
  const head = chooseHead({
    ...{ task, given: settings.labels, adapters: resumed ? [resumed] : [], seed },
    data: classesOf(data, tell),
    replication: settings.layer_replication,
  });
  return { data: isLeader ? data : { ...data, valid: undefined }, head, resumed, checkpoint, tell };
}

/** The classes of all rows; undefined where the task has none. */
function classesOf({ train, valid }: Parts<TaskRows>, print: (line: string) => void): string[] | undefined {
  const labels = train.labels && labelNames([...train.labels, ...(valid?.labels ?? [])]);
  const unseen = labels?.filter((label) => !train.labels?.includes(label)) ?? [];
  if (unseen.length > 0)
    print(`${valid?.path} has classes that ${train.path} does not teach: ${unseen.join(", ")}`);
  return labels;
}

/** Opens the model with what is trained, a new adapter or an earlier one, and what answers are compared with. */
async function openTrained(settings: TrainSettings, prepared: Prepared, print: (line: string) => void) {
  const { head, resumed } = prepared;
  const opened = await openCliTask(settings, print, head);
  const { model: base } = opened;
  const { model, adapter } = resumed
    ? await openCliAdapter(base, resumed, print)
    : { model: base, adapter: await newAdapter(base, settings, prepared) };
  return { ...opened, model, adapter, ...(await referenceOf(base, settings.task, resumed)) };
}

async function newAdapter(
  base: LoadedModel,
  settings: TrainSettings,
  { data, tell }: Prepared,
): Promise<Adapter> {
  const { seed } = settings;
  const method = methodFor(base, settings);
  const begun = await kindNamed(settings.method).begin?.(base, method, {
    ...{ seed, tell, original: originalWeights(base) },
    inputs: () => inputsOf(base, data.train, settings),
  });
  return attach(base, begun ?? method, { seed });
}

/** @throws LoraError where the adapter cannot be trained on, or its parts not at these rates */
function checkTrained({ parameters }: Adapter, settings: TrainSettings): void {
  const { locked } = parameters;
  if (locked) fail("resume_adapter_file", locked.why, locked.help);
  checkRates(parameters, trainerOptions(settings));
}

/** Fits the rows to a model. */
async function bindRows(
  settings: TrainSettings,
  { data }: Prepared,
  { model, reference }: Reference & { readonly model: LoadedModel },
  print: (line: string) => void,
): Promise<Pick<OnDevice, "train" | "valid">> {
  // What the model is judged by is read first, so that rows to learn from can be looked for in it; it is told last.
  const ofValid: string[] = [];
  const compared = { ...settings, reference };
  const { check_data: _, ...judging } = { ...compared, packing: false };
  const valid = await data.valid?.bind(model, judging, (line) => ofValid.push(line));
  const train = await data.train.bind(model, { ...compared, ...(valid && { judged: valid.keys }) }, print);
  ofValid.forEach(print);
  return { train, valid };
}

/** Rows of a micro-batch: those that are asked for, else those of the run that goes on, else what fits. */
async function rowsOfBatch(
  { settings, given }: GivenSettings,
  { checkpoint, head, resumed }: Prepared,
  { files, ...run }: Pick<UnsizedRun, "files" | "model" | "rows">,
  print: (line: string) => void,
): Promise<number> {
  if (given.has(BATCH)) return settings[BATCH];
  if (checkpoint) return batchOf(checkpoint, settings);
  return fittingBatch(settings, { ...run, files, head: await head(files), resumed }, print);
}

/** What answers are compared with, where that is not the model without adapters. */
type Reference = { readonly reference: LanguageModel | undefined };

/** A run that begins with an adapter is compared with the model as it is then, as in TRL: a copy of the adapter that stays. */
async function referenceOf(
  base: LoadedModel,
  task: TrainingTask,
  resumed: AdapterReference | undefined,
): Promise<Reference> {
  if (!resumed || !hasReference(task)) return { reference: undefined };
  const reference = base.withAdapters([]);
  await openCliAdapter(reference, { ...resumed, name: "reference" }, () => {});
  return { reference: requireTask(reference, "causal-lm") };
}

/** What goes into a model's layers over the rows that are trained on. @throws LoraError where these are no texts in memory */
async function inputsOf(base: LoadedModel, rows: TaskRows, settings: TrainSettings): Promise<LayerInputs> {
  const { items } = await rows.bind(base, settings, () => {});
  const isText = (item: unknown): item is LabelledSequence =>
    typeof item === "object" && item !== null && "inputIds" in item;
  const hasPasses = "hidden" in base;
  if (!items?.every(isText) || !hasPasses) {
    return fail(
      "init_lora_weights",
      "eva looks at texts, all of them in memory",
      "leave --streaming out, or take another start",
    );
  }
  const sequences = items.map(({ inputIds, labels }) => ({
    inputIds,
    ...(Array.isArray(labels) && { labels }),
  }));
  return layerInputs(base, sequences, { batchSize: settings.per_device_train_batch_size });
}

/** What may be kept with a run: all but what opens doors. */
function savedSettings({ token: _, ...settings }: TrainSettings): JsonObject {
  return JSON.parse(JSON.stringify(settings));
}

function trainableCount({ parameters }: Adapter): number {
  return parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
}
