import { isPreferenceTask, type PreferenceTask, type TrainingTask } from "../data/task-names.ts";
import type { LanguageModel } from "../models/model.ts";
import { CPO_LOSSES } from "../train/preferences/cpo.ts";
import { DPO_LOSSES, type DpoOptions, settleDpo } from "../train/preferences/dpo.ts";
import { KTO_LOSSES } from "../train/preferences/kto.ts";
import { fail } from "../util/fail.ts";
import { camelCase } from "../util/names.ts";
import type { Settings } from "./options.ts";
import type { PREFERENCE_OPTIONS } from "./tables/preferences.ts";

/** How which answers are better is learnt. */
export interface PreferenceSettings extends Settings<typeof PREFERENCE_OPTIONS> {
  /** What the model is compared with, where it begins with an adapter: the model as it begins. */
  readonly reference?: LanguageModel | undefined;
}

/** Losses that a task offers; of the others there is one. */
const LOSSES: Readonly<Partial<Record<PreferenceTask, readonly string[]>>> = {
  dpo: DPO_LOSSES,
  cpo: CPO_LOSSES,
  kto: KTO_LOSSES,
};

/** The settings that the library's options of a task have names for. */
const TAKEN: Readonly<Record<PreferenceTask, readonly (keyof PreferenceSettings)[]>> = {
  dpo: [
    ...(["loss_weights", "beta", "label_smoothing", "discopop_tau", "reference"] as const),
    ...(["f_divergence_type", "f_alpha_divergence_coef", "ld_alpha"] as const),
  ],
  orpo: ["beta"],
  cpo: ["beta", "label_smoothing", "cpo_alpha", "simpo_gamma"],
  simpo: ["beta", "label_smoothing", "cpo_alpha", "simpo_gamma"],
  kto: ["beta", "desirable_weight", "undesirable_weight", "reference"],
  reward: ["center_rewards_coefficient"],
};

/** Which tasks have a use for a setting; undefined where it is none of preferences. */
export function usesSetting(task: TrainingTask, key: string): boolean {
  if (!isPreferenceTask(task)) return false;
  if (key === "loss_type") return LOSSES[task] !== undefined;
  if (key === "precompute_ref_log_probs") return TAKEN[task].includes("reference");
  return (
    key === "disable_dropout" ||
    key === "padding_free" ||
    TAKEN[task].includes(key as keyof PreferenceSettings)
  );
}

/** The library's options for a task. */
export function preferenceOptions(task: PreferenceTask, settings: Partial<PreferenceSettings>): object {
  const { loss_type: types = [], disable_dropout: disableDropout, padding_free: paddingFree } = settings;
  const [first] = types;
  const entries = TAKEN[task].map((key) => [camelCase(key), settings[key]] as const);
  const given = entries.filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  return {
    ...Object.fromEntries(given),
    ...(first !== undefined && { lossType: task === "dpo" ? types : first }),
    ...(disableDropout !== undefined && { disableDropout }),
    ...(paddingFree && { paddingFree }),
  };
}

/** @throws LoraError where the settings of a task contradict each other */
export function checkPreferenceSettings(
  task: TrainingTask,
  settings: Partial<PreferenceSettings>,
  batchSize: number,
  name = "per_device_train_batch_size",
): void {
  if (!isPreferenceTask(task)) return;
  const { loss_type: types = [] } = settings;
  const known = LOSSES[task] ?? [];
  const alien = types.find((type) => !known.includes(type));
  if (alien !== undefined)
    fail("loss_type", `${alien} is no loss of ${task}`, `give one of ${known.join(", ")}`);
  if (types.length > 1 && task !== "dpo") {
    fail("loss_type", `${task} takes one loss, got ${types.join(", ")}`, "name one; dpo adds several up");
  }
  if (task === "dpo") settleDpo(preferenceOptions(task, settings) as DpoOptions);
  if (task === "kto" && types[0] !== "apo_zero_unpaired" && batchSize < 2) {
    const message = "1 leaves no other prompt whose answer could be taken for the KL divergence";
    fail(name, message, "give 2 or more, or the loss apo_zero_unpaired");
  }
}
