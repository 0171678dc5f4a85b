import type { LowRank } from "../../adapters/combine/low-rank.ts";
import { peftLoraConfig } from "../../adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../../adapters/lora/lora-fields.ts";
import { peftPatterns } from "../../adapters/sites/patterns.ts";
import type { Member } from "./members.ts";

/**
 * The configuration of a combination. PEFT's own copies `use_rslora` from the first adapter, which makes the result of
 * rsLoRA adapters √r too strong; here scales are in the tensors and alpha is the rank.
 */
export function resultConfig(
  members: readonly Member[],
  changes: ReadonlyMap<string, LowRank>,
  baseModel: string | undefined,
): PeftLoraConfig {
  const configs = members.map(({ adapter }) => adapter.config);
  const first = <K extends keyof PeftLoraConfig>(name: K) =>
    configs.map((config) => config[name]).find((value) => value !== null) ?? null;
  const r = mostCommon([...changes.values()].map((change) => change.r));
  const ranks = new Map([...changes].map(([path, change]) => [path, { r: change.r, alpha: change.r }]));
  const whole = [...new Set(configs.flatMap(({ modules_to_save }) => modules_to_save ?? []))];
  return peftLoraConfig({
    r,
    lora_alpha: r,
    ...peftPatterns({ r, lora_alpha: r }, ranks),
    ...targetsOf(members, [...changes.keys()]),
    lora_dropout: configs[0]?.lora_dropout ?? 0,
    fan_in_fan_out: configs.some(({ fan_in_fan_out }) => fan_in_fan_out),
    modules_to_save: whole.length > 0 ? whole : null,
    task_type: first("task_type"),
    auto_mapping: first("auto_mapping"),
    base_model_name_or_path: baseModel ?? first("base_model_name_or_path"),
    revision: baseModel === undefined ? first("revision") : null,
  });
}

const CHOICE = ["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"] as const;

/** The adapters' own words where all say the same and adapt the same layers, else the layers by name. */
function targetsOf(members: readonly Member[], paths: readonly string[]): Partial<PeftLoraConfig> {
  const chosen = members.map(({ adapter }) => CHOICE.map((name) => adapter.config[name]));
  const isSame = new Set(chosen.map((words) => JSON.stringify(words))).size === 1;
  const haveAll = members.every(({ adapter }) => adapter.tensors.size === paths.length);
  const [config] = members.map(({ adapter }) => adapter.config);
  if (!isSame || !haveAll || !config) return { target_modules: paths };
  return Object.fromEntries(CHOICE.map((name) => [name, config[name]]));
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), [1, 0] as [
    number,
    number,
  ])[0];
}
