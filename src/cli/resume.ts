import type { RunNotes } from "../io/formats/run-state.ts";
import type { Peers } from "../train/peers.ts";
import type { JsonObject } from "../util/json.ts";
import { checkSame, findCheckpoint, type Resumed, readCheckpoint } from "./checkpoints.ts";
import type { Terminal } from "./terminal.ts";
import { BATCH, type GivenSettings } from "./train-settings.ts";
import type { TrainSettings } from "./training-run.ts";

/** Reads the checkpoint to go on from, where one is wanted and there. */
export async function openResumed(
  { settings, given }: GivenSettings,
  peers: Peers | undefined,
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
  checkSame(checkpoint, { settings: comparedSettings(sized, peers), identity: {} }, force); // before the model is loaded
  terminal.print(`Resuming from ${path}, after step ${checkpoint.state.step}`);
  return checkpoint;
}

/** Rows of a micro-batch in the run that goes on, which has fitted them to its device. */
export function batchOf(checkpoint: Resumed, settings: TrainSettings): number {
  const rows = checkpoint.notes.settings[BATCH];
  return typeof rows === "number" ? rows : settings[BATCH];
}

/** What is other than before, where that is allowed. */
export function resumeRemarks(
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

/** Settings that a run's numbers don't depend on; model and data are known by what they hold. */
const NOT_COMPARED: readonly (keyof TrainSettings)[] = [
  ...(["model", "revision", "token", "verify", "data", "eval_data", "output_dir"] as const),
  ...(["resume", "force", "resume_adapter_file", "adapter_revision", "check_data"] as const),
  ...(["per_device_eval_batch_size", "val_batches"] as const),
  ...(["logging_steps", "eval_steps", "save_steps", "save_total_limit"] as const),
  ...(["recover", "auto_batch", "report_to", "metric_for_best_model"] as const),
  ...(["greater_is_better", "early_stopping_patience", "early_stopping_threshold"] as const),
  ...(["load_best_model_at_end", "exact_match", "eval_samples", "sample_prompts"] as const),
  ...(["sample_max_new_tokens", "memory", "dry_run", "ddp_timeout"] as const),
];

/** What has to be the same in every process of a run, and in a run that goes on. */
export function comparedSettings(settings: TrainSettings, peers: Peers | undefined): JsonObject {
  const all = { ...settings, ...(peers && { world_size: peers.size }) };
  const compared = Object.entries(all).filter(
    ([name]) => !NOT_COMPARED.includes(name as keyof TrainSettings),
  );
  return JSON.parse(JSON.stringify(Object.fromEntries(compared)));
}
