import { join } from "node:path";
import { type Adapter, attach } from "../../adapters/adapter.ts";
import { type Lora, type LoraOptions, lora } from "../../adapters/lora.ts";
import { isExcluded } from "../../adapters/targets.ts";
import { labelNames } from "../../data/labelled.ts";
import { unmatchedKeys } from "../../io/formats/peft-patterns.ts";
import { adapterFiles } from "../../load/adapter.ts";
import type { LoadedModel } from "../../load/model.ts";
import { modules } from "../../nn/module.ts";
import { folderWriter } from "../../platform/node-folder-writer.ts";
import type { StepMetrics, TrainerOptions } from "../../train/trainer.ts";
import { fail, failAll } from "../../util/fail.ts";
import { describeParameters, formatValLine } from "../format.ts";
import { type Interrupt, watchInterrupt } from "../interrupt.ts";
import { chooseHead, LABELS_FILE } from "../labels.ts";
import { adapterReference, openCliAdapter, openCliTask } from "../open.ts";
import type { Settings } from "../options.ts";
import { claimOutputFolder, holdsAdapter } from "../output-folder.ts";
import { createReporter, type Reporter } from "../reporter.ts";
import { flagName, type Settled } from "../settings.ts";
import type { TRAIN_OPTIONS } from "../tables.ts";
import type { BoundRows } from "../task.ts";
import { checkTaskSettings } from "../task-settings.ts";
import { TASKS } from "../tasks.ts";
import type { Terminal } from "../terminal.ts";

/** What {@link save} writes. */
const ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors", LABELS_FILE];

type TrainSettings = Settings<typeof TRAIN_OPTIONS>;

/**
 * `webgpu-lora train`: everything that can be checked is checked before the model is loaded.
 * @returns the exit code
 */
export async function runTrain(
  { settings }: Settled<typeof TRAIN_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const method = lora(loraOptions(settings));
  const { task, labels: given, seed } = settings;
  const resumed = adapterReference(settings.resume_adapter_file, settings);
  const data = await TASKS[task].readTraining(settings.data, settings.eval_data);
  claimOutputFolder(settings.output_dir, { files: ADAPTER_FILES, checkpoints: settings.save_steps > 0 });
  if (holdsAdapter(settings.output_dir)) {
    terminal.print(`${settings.output_dir} holds an adapter; it will be replaced`);
  }

  const print = (line: string) => terminal.print(line);
  const labels = data.train.labels && labelNames([...data.train.labels, ...(data.valid?.labels ?? [])]);
  const unseen = labels?.filter((label) => !data.train.labels?.includes(label)) ?? [];
  if (unseen.length > 0) {
    print(`${data.valid?.path} has classes that ${data.train.path} does not teach: ${unseen.join(", ")}`);
  }
  const head = chooseHead({ task, given, adapter: resumed, data: labels, seed });
  const { model, parameters } = await openCliTask(settings, print, head);
  const adapter = resumed ? await openCliAdapter(model, resumed, print) : attach(model, method, { seed });
  const { locked } = adapter.parameters;
  if (locked) fail("resume_adapter_file", locked.why, locked.help);
  for (const line of uselessPatterns(adapter)) print(`warning: ${line}`);
  print(`Model: ${model.name}`);
  print(describeParameters(trainableCount(adapter), parameters));

  const train = await data.train.bind(model, settings, print);
  const valid = await data.valid?.bind(model, settings, print);
  return runSteps({ model, adapter, train, valid, settings, terminal });
}

/** What a saved adapter settles by itself. */
const ADAPTER_KEYS = [
  "lora_r",
  "lora_alpha",
  "lora_dropout",
  "target_modules",
  "exclude_modules",
  "layers_to_transform",
  "layers_pattern",
  "rank_pattern",
  "alpha_pattern",
  "use_rslora",
  "modules_to_save",
] as const;

/** @throws LoraError where settings contradict each other. */
export function checkTrainSettings(settled: Settled<typeof TRAIN_OPTIONS>): void {
  const { settings, given } = settled;
  checkTaskSettings(settled);
  if (settings.task === "sentence-embedding" && settings.per_device_train_batch_size < 2) {
    const message = "1 leaves nothing to tell a pair from: a pair is compared with the others of its batch";
    fail("per_device_train_batch_size", message, "give 2 or more");
  }
  if (settings.resume_adapter_file === undefined) return;
  const settledBefore = ADAPTER_KEYS.filter((key) => given.has(key));
  const problems = settledBefore.map((key) => `${key} comes from the adapter that is resumed`);
  failAll("resume_adapter_file", problems, `leave out ${settledBefore.map(flagName).join(", ")}`);
}

/** PEFT's fields; what is not given stays away, for an empty list of layers would mean something else. */
function loraOptions(settings: TrainSettings): LoraOptions {
  const { exclude_modules, layers_to_transform, layers_pattern, modules_to_save } = settings;
  return {
    r: settings.lora_r,
    alpha: settings.lora_alpha,
    dropout: settings.lora_dropout,
    targetModules: settings.target_modules,
    useRslora: settings.use_rslora,
    rankPattern: settings.rank_pattern,
    alphaPattern: settings.alpha_pattern,
    ...(exclude_modules !== undefined && { excludeModules: exclude_modules }),
    ...(layers_to_transform.length > 0 && { layersToTransform: layers_to_transform }),
    ...(layers_pattern.length > 0 && { layersPattern: layers_pattern }),
    ...(modules_to_save.length > 0 && { modulesToSave: modules_to_save }),
  };
}

/** As PEFT warns of them: most are mistyped names. */
function uselessPatterns({ method, sites, base }: Adapter<Lora>): string[] {
  const paths = sites.map(({ module }) => module.path);
  const { rankPattern, alphaPattern, excludeModules = [] } = method.options;
  const excludes = [...modules(base.root)].some(({ path }) => isExcluded(path, excludeModules));
  const describe = (field: string, keys: readonly string[]) =>
    keys.map((key) => `${JSON.stringify(key)} of ${field} matches no adapted layer`);
  return [
    ...describe("rank_pattern", unmatchedKeys(rankPattern, paths)),
    ...describe("alpha_pattern", unmatchedKeys(alphaPattern, paths)),
    ...(excludeModules.length > 0 && !excludes
      ? [`exclude_modules ${JSON.stringify(excludeModules)} leaves nothing out`]
      : []),
  ];
}

function trainableCount({ parameters }: Adapter): number {
  return parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
}

interface Run {
  readonly model: LoadedModel;
  readonly adapter: Adapter<Lora>;
  readonly train: BoundRows;
  readonly valid: BoundRows | undefined;
  readonly settings: TrainSettings;
  readonly terminal: Terminal;
}

/** Trains with a report, and saves whatever the end is: the last step or Ctrl-C. */
async function runSteps(run: Run): Promise<number> {
  const { adapter, settings, terminal } = run;
  const reporter = createReporter(terminal, settings.logging_steps);
  await validate(run, 0, reporter); // before Ctrl-C is caught: there is nothing to save yet
  const interrupt = watchInterrupt(() =>
    terminal.note("Stopping after this step; Ctrl-C again stops at once."),
  );
  try {
    for await (const metrics of run.train.train(adapter.parameters, trainerOptions(settings))) {
      reporter.step(metrics);
      await afterStep(run, metrics, reporter, interrupt);
      if (interrupt.exitCode === undefined) continue;
      reporter.note(`Interrupted after step ${metrics.step} of ${metrics.totalSteps}.`);
      break;
    }
    await save(run, settings.output_dir);
    reporter.note(`Saved final weights to ${settings.output_dir}.`);
  } finally {
    reporter.close();
    interrupt.release();
  }
  return interrupt.exitCode ?? 0;
}

async function afterStep(
  run: Run,
  { step, totalSteps }: StepMetrics,
  reporter: Reporter,
  interrupt: Interrupt,
): Promise<void> {
  const { output_dir, eval_steps, save_steps } = run.settings;
  if (save_steps > 0 && step % save_steps === 0) {
    const folder = join(output_dir, `checkpoint-${step}`); // the name that TRL gives
    await save(run, folder);
    reporter.note(`Iter ${step}: Saved adapter weights to ${folder}.`);
  }
  const isDue = step === totalSteps || (eval_steps > 0 && step % eval_steps === 0);
  if (isDue && interrupt.exitCode === undefined) await validate(run, step, reporter);
}

async function validate({ valid, settings }: Run, step: number, reporter: Reporter): Promise<void> {
  if (valid === undefined) return;
  const started = performance.now();
  const { loss, summary } = await valid.evaluate(settings.per_device_train_batch_size);
  const line = formatValLine(step, loss, (performance.now() - started) / 1000);
  reporter.note(summary === "" ? line : `${line}, ${summary}`);
}

/** PEFT's two files, and the names of the classes where the model has some. */
async function save({ adapter, model }: Run, folder: string): Promise<void> {
  const files = await adapterFiles(adapter);
  if ("labels" in model) files.set(LABELS_FILE, `${JSON.stringify(model.labels, null, 2)}\n`);
  await folderWriter(folder).write(files);
}

function trainerOptions(settings: TrainSettings): TrainerOptions {
  const { max_steps } = settings;
  return {
    ...(max_steps !== undefined && max_steps > 0 && { maxSteps: max_steps }),
    epochs: settings.num_train_epochs,
    batchSize: settings.per_device_train_batch_size,
    gradientAccumulationSteps: settings.gradient_accumulation_steps,
    learningRate: settings.learning_rate,
    schedule: settings.lr_scheduler_type,
    warmupSteps: settings.warmup_steps,
    weightDecay: settings.weight_decay,
    maxGradNorm: settings.max_grad_norm,
    gradientCheckpointing: settings.gradient_checkpointing,
    seed: settings.seed,
  };
}
