import { type Adapter, attach } from "../../adapters/adapter.ts";
import type { LayerInputs } from "../../adapters/lora/initial/eva.ts";
import { methodKind } from "../../adapters/methods.ts";
import { splitsItems } from "../../data/packing.ts";
import { labelNames } from "../../data/rows/labelled.ts";
import type { RunNotes } from "../../io/formats/run-state.ts";
import { ADAPTER_FILES } from "../../load/adapter.ts";
import type { LoadedModel } from "../../load/model.ts";
import { originalWeights } from "../../load/original-weights.ts";
import { type LanguageModel, requireTask } from "../../models/model.ts";
import { checkIsNotModel } from "../../platform/node-folders/merged-folder.ts";
import { holdsOthersCard } from "../../platform/node-folders/own-card.ts";
import { type LabelledSequence, layerInputs } from "../../train/layer-inputs.ts";
import { LORA_LEARNING_RATE, PREFERENCE_LEARNING_RATE } from "../../train/learning-rate.ts";
import { checkRates } from "../../train/parameter-rates.ts";
import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import { checkSame, findCheckpoint, type Resumed, readCheckpoint } from "../checkpoints.ts";
import { configText } from "../config-text.ts";
import { describeLearningRate, describeParameters } from "../format.ts";
import { baseDigest, dataDigest } from "../identity.ts";
import { chooseHead } from "../labels.ts";
import { checkLastLayers, methodFor } from "../last-layers.ts";
import { LossCurve } from "../loss-curve.ts";
import { kindNamed, methodOf } from "../method-table.ts";
import { type AdapterReference, adapterReference, openCliAdapter, openCliTask } from "../open.ts";
import { claimOutputFolder, holdsAdapter } from "../output-folder.ts";
import { fittingBatch } from "../plan/fit-batch.ts";
import { checkPreferenceSettings } from "../preference-settings.ts";
import { runSteps, trainerOptions } from "../run-steps.ts";
import type { Settled } from "../settings.ts";
import type { TRAIN_OPTIONS } from "../tables/train.ts";
import type { TaskRows } from "../task.ts";
import { type CliTask, hasReference, isPreferenceTask } from "../task-names.ts";
import { checkTaskSettings } from "../task-settings.ts";
import { TASKS } from "../tasks.ts";
import type { Terminal } from "../terminal.ts";
import type { TrainSettings } from "../training-run.ts";
import { checkJudged } from "../validation.ts";
import { packageVersion } from "../version.ts";
import { runPlan } from "./plan.ts";

/**
 * `webgpu-lora train`: everything that can be checked is checked before the model is loaded.
 * @returns the exit code
 */
export async function runTrain(
  { settings: asked, given }: Settled<typeof TRAIN_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const settings = given.has("learning_rate") ? asked : { ...asked, learning_rate: usualRate(asked.task) };
  if (settings.dry_run) return runPlan({ settings }, terminal);
  const kind = kindNamed(settings.method);
  methodOf(settings.method, settings); // its options are checked before anything is read
  const { task, labels: names, seed } = settings;
  const resumed = adapterReference(settings.resume_adapter_file, settings);
  const data = await TASKS[task].readTraining(settings);
  checkJudged(given, data.valid !== undefined);
  await checkIsNotModel(settings.output_dir, settings.model);
  claimOutputFolder(settings.output_dir, { files: ADAPTER_FILES, checkpoints: settings.save_steps > 0 });
  const checkpoint = await openResumed(settings, given, terminal);
  if (holdsAdapter(settings.output_dir)) {
    terminal.print(`${settings.output_dir} holds an adapter; it will be replaced`);
  }
  if (await holdsOthersCard(settings.output_dir)) {
    terminal.print(`${settings.output_dir} holds a README.md, which stays as it is`);
  }

  const print = (line: string) => terminal.print(line);
  const labels = data.train.labels && labelNames([...data.train.labels, ...(data.valid?.labels ?? [])]);
  const unseen = labels?.filter((label) => !data.train.labels?.includes(label)) ?? [];
  if (unseen.length > 0) {
    print(`${data.valid?.path} has classes that ${data.train.path} does not teach: ${unseen.join(", ")}`);
  }
  const head = chooseHead({
    ...{ task, given: names, adapters: resumed ? [resumed] : [], data: labels, seed },
    replication: settings.layer_replication,
  });
  const beginGiven = (base: LoadedModel) => ({
    seed,
    tell: print,
    original: originalWeights(base),
    inputs: () => inputsOf(base, data.train, settings),
  });
  const begun = async (base: LoadedModel) => {
    const method = methodFor(base, settings);
    return (await kind.begin?.(base, method, beginGiven(base))) ?? method;
  };
  const open = async (print: (line: string) => void) => {
    const opened = await openCliTask(settings, print, head);
    const { model: base } = opened;
    const { model, adapter } = resumed
      ? await openCliAdapter(base, resumed, print)
      : {
          model: base,
          adapter: attach(base, await begun(base), { seed }),
        };
    return { ...opened, model, adapter, ...(await referenceOf(base, task, resumed)) };
  };
  const { model, adapter, parameters, files, reference } = await open(print);
  const { locked } = adapter.parameters;
  if (locked) fail("resume_adapter_file", locked.why, locked.help);
  checkRates(adapter.parameters, trainerOptions(settings));
  const remarks = methodKind(adapter.method.type)?.remarks?.(adapter) ?? [];
  for (const line of remarks) print(`warning: ${line}`);
  print(`Model: ${model.name}`);
  print(describeParameters(trainableCount(adapter), parameters));
  if (!given.has("learning_rate")) print(describeLearningRate(settings.learning_rate, model.hub?.repo));

  const bind = async (model: LoadedModel, reference: Reference, print: (line: string) => void) => {
    // What the model is judged by is read first, so that rows to learn from can be looked for in it; it is told last.
    const ofValid: string[] = [];
    const compared = { ...settings, ...reference };
    const { check_data: _, ...judging } = { ...compared, packing: false };
    const valid = await data.valid?.bind(model, judging, (line) => ofValid.push(line));
    const train = await data.train.bind(model, { ...compared, ...(valid && { judged: valid.keys }) }, print);
    ofValid.forEach(print);
    return { train, valid };
  };
  const ofData: string[] = [];
  const rows = await bind(model, { reference }, (line) => {
    ofData.push(line);
    print(line);
  });
  const batch = async () => {
    if (given.has(BATCH)) return settings[BATCH];
    if (checkpoint) return batchOf(checkpoint, settings);
    const unsized = { files, head: await head(files), model, rows: rows.train, resumed };
    return fittingBatch(settings, unsized, print);
  };
  const sized = { ...settings, [BATCH]: await batch() };
  const notes = {
    settings: comparedSettings(sized),
    identity: { base: await baseDigest(files), data: await dataDigest(settings.data, task) },
    versions: { "webgpu-lora": packageVersion(), device: model.device.info.name },
  };
  if (checkpoint)
    for (const line of resumeRemarks(checkpoint, notes, settings.force)) print(`warning: ${line}`);
  const reopen = async () => {
    const { model, adapter, reference } = await open(() => {});
    return { model, adapter, ...(await bind(model, { reference }, () => {})) };
  };
  const live = { model, adapter, ...rows };
  const losses = new LossCurve();
  const trainable = trainableCount(adapter);
  const about = {
    ...{ model: model.name, task, trainable, parameters: parameters + trainable, data: ofData },
    ...{ settings: savedSettings(sized), given: [...given], versions: notes.versions },
  };
  const config = configText(sized, sized[BATCH] === settings[BATCH] ? given : new Set([...given, BATCH]));
  return runSteps({
    ...{ live, reopen, settings: sized, terminal, resumed: checkpoint, notes, losses, about, config },
  });
}

const BATCH = "per_device_train_batch_size";

/** The learning rate where none is given. */
const usualRate = (task: CliTask) =>
  isPreferenceTask(task) && task !== "reward" ? PREFERENCE_LEARNING_RATE : LORA_LEARNING_RATE;

/** What answers are compared with, where that is not the model without adapters. */
type Reference = { readonly reference: LanguageModel | undefined };

/** A run that begins with an adapter is compared with the model as it is then, as in TRL: a copy of the adapter that stays. */
async function referenceOf(
  base: LoadedModel,
  task: CliTask,
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

/** Reads the checkpoint to go on from, where one is wanted and there. */
async function openResumed(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  terminal: Terminal,
): Promise<Resumed | undefined> {
  const { resume, output_dir, force } = settings;
  const path = findCheckpoint(resume, output_dir);
  if (path === undefined) {
    if (resume !== undefined)
      terminal.print(`${output_dir} holds no checkpoint: the run begins at its first step`);
    return undefined;
  }
  const checkpoint = await readCheckpoint(path);
  const sized = given.has(BATCH) ? settings : { ...settings, [BATCH]: batchOf(checkpoint, settings) };
  checkSame(checkpoint, { settings: comparedSettings(sized), identity: {} }, force); // before the model is loaded
  terminal.print(`Resuming from ${path}, after step ${checkpoint.state.step}`);
  return checkpoint;
}

/** Rows of a micro-batch in the run that goes on, which has fitted them to its device. */
function batchOf(checkpoint: Resumed, settings: TrainSettings): number {
  const rows = checkpoint.notes.settings[BATCH];
  return typeof rows === "number" ? rows : settings[BATCH];
}

/** What is other than before, where that is allowed. */
function resumeRemarks(
  checkpoint: Resumed,
  notes: Pick<RunNotes, "settings" | "identity" | "versions">,
  force: boolean,
): string[] {
  const { versions } = checkpoint.notes;
  const others = Object.entries(notes.versions).filter(([name, version]) => versions[name] !== version);
  return [
    ...checkSame(checkpoint, notes, force),
    ...others.map(
      ([name, version]) => `${name} was ${versions[name]}, and is ${version}: the bytes may be others`,
    ),
  ];
}

/** What may be kept with a run: all but what opens doors. */
function savedSettings({ token: _, ...settings }: TrainSettings): JsonObject {
  return JSON.parse(JSON.stringify(settings));
}

/** Settings that a run's numbers don't depend on; model and data are known by what they hold. */
const NOT_COMPARED: readonly (keyof TrainSettings)[] = [
  ...(["model", "revision", "token", "verify", "data", "eval_data", "output_dir"] as const),
  ...(["resume", "force", "resume_adapter_file", "adapter_revision", "check_data"] as const),
  ...(["per_device_eval_batch_size", "val_batches"] as const),
  ...(["logging_steps", "eval_steps", "save_steps", "save_total_limit"] as const),
  ...(["recover", "auto_batch", "report_to", "metric_for_best_model"] as const),
  ...(["greater_is_better", "early_stopping_patience", "early_stopping_threshold"] as const),
  ...(["load_best_model_at_end", "exact_match", "eval_samples", "sample_prompts"] as const),
  ...(["sample_max_new_tokens", "memory", "dry_run"] as const),
];

function comparedSettings(settings: TrainSettings): JsonObject {
  const compared = Object.entries(settings).filter(
    ([name]) => !NOT_COMPARED.includes(name as keyof TrainSettings),
  );
  return JSON.parse(JSON.stringify(Object.fromEntries(compared)));
}

/** Settings, and which of them the user gave. */
interface GivenSettings {
  readonly settings: TrainSettings;
  readonly given: ReadonlySet<string>;
}

/** @throws LoraError where settings contradict each other. */
export function checkTrainSettings(settled: GivenSettings): void {
  const { settings } = settled;
  checkTaskSettings(settled);
  for (const name of [BATCH, "per_device_eval_batch_size"] as const) {
    const rows = settings[name] ?? settings[BATCH];
    if (settings.task === "sentence-embedding" && rows < 2) {
      const message = "1 leaves nothing to tell a pair from: a pair is compared with the others of its batch";
      fail(name, message, "give 2 or more");
    }
    checkPreferenceSettings(settings.task, settings, rows, name);
  }
  checkLastLayers(settings);
  checkPacking(settled);
}

function checkPacking({ settings, given }: GivenSettings): void {
  const { packing, packing_strategy, group_by_length, task } = settings;
  if (!packing && given.has("packing_strategy")) {
    fail("packing_strategy", "nothing is packed", "give --packing too");
  }
  if (packing && splitsItems(packing_strategy) && task !== "causal-lm") {
    fail("packing_strategy", `${packing_strategy} splits rows, and those of ${task} are wholes`, "give bfd");
  }
  if (packing && group_by_length) {
    fail("group_by_length", "packed sequences are all of like lengths", "leave it out, or packing");
  }
}

function trainableCount({ parameters }: Adapter): number {
  return parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
}
