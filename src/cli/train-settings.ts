import { splitsItems } from "../data/packing.ts";
import { LORA_LEARNING_RATE } from "../train/learning-rate.ts";
import { checkSchedule } from "../train/schedule.ts";
import { fail } from "../util/fail.ts";
import { checkLastLayers } from "./last-layers.ts";
import { checkPreferenceSettings } from "./preference-settings.ts";
import { trainerOptions } from "./run-steps.ts";
import { checkTaskSettings } from "./task-settings.ts";
import type { TrainSettings } from "./training-run.ts";

/** The setting for the rows of a micro-batch. */
export const BATCH = "per_device_train_batch_size";

/** Settings, and which of them the user gave. */
export interface GivenSettings {
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
  checkSync(settings);
  const {
    schedule = "linear",
    scheduleShape = {},
    learningRate = LORA_LEARNING_RATE,
  } = trainerOptions(settings);
  checkSchedule("lr_scheduler_kwargs", { schedule, scheduleShape, learningRate });
}

/** What is evaluated or saved between two meetings would be what one process has learnt. */
function checkSync({ sync_every, ...settings }: TrainSettings): void {
  const off = (["eval_steps", "save_steps"] as const).filter((name) => settings[name] % sync_every !== 0);
  if (off.length === 0) return;
  const got = off.map((name) => `${name} is ${settings[name]}`).join(", ");
  fail(
    "sync_every",
    `the processes meet every ${sync_every} steps, and ${got}`,
    "give multiples of it, or 0",
  );
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
