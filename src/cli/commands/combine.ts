import { isSupersededByAdapter } from "../../load/adapter.ts";
import {
  type CombineOptions,
  checkCombination,
  combineAdapters,
} from "../../load/combine/combine-adapters.ts";
import { folderWriter } from "../../platform/node-folders/folder-writer.ts";
import { fail } from "../../util/fail.ts";
import { describeErrors, describeRanks } from "../lora-layers.ts";
import { peftSource } from "../open.ts";
import { claimOutputFolder } from "../output-folder.ts";
import type { Settled } from "../settings.ts";
import type { COMBINE_OPTIONS } from "../tables/combine.ts";
import { printLines, type Terminal } from "../terminal.ts";
import { weightedReferences } from "../weighted-adapters.ts";

type CombineSettings = Settled<typeof COMBINE_OPTIONS>["settings"];

/** @throws LoraError where the settings contradict each other */
export function checkCombineSettings({ settings }: Settled<typeof COMBINE_OPTIONS>): void {
  if (settings.adapters.length === 0)
    fail("combine", "there is no adapter", "name some, such as: combine a b=0.5");
  weightedReferences(settings.adapters);
  checkCombination(optionsOf(settings));
}

function optionsOf(settings: CombineSettings): CombineOptions {
  return {
    combinationType: settings.combination_type,
    svdRank: settings.svd_rank,
    svdClamp: settings.svd_clamp,
    density: settings.density,
    majoritySignMethod: settings.majority_sign_method,
    seed: settings.seed,
    baseModel: settings.base_model,
  };
}

/**
 * `webgpu-lora combine`: makes one adapter of several, or one of a lower rank. No device and no model are needed.
 * @returns the exit code
 */
export async function runCombine(
  { settings }: Settled<typeof COMBINE_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { output_dir, token, verify } = settings;
  const note = (line: string) => terminal.note(line);
  claimOutputFolder(output_dir, { files: ["adapter_config.json", "adapter_model.safetensors"] });
  const adapters = [];
  for (const { reference, weight } of weightedReferences(settings.adapters)) {
    const files = await peftSource({ reference, revision: undefined, token, verify }, note);
    adapters.push({ files, weight });
  }
  const combined = await combineAdapters(adapters, {
    ...optionsOf(settings),
    onWarning: (warning) => note(`warning: ${warning}`),
  });
  await folderWriter(output_dir).write(combined.files, isSupersededByAdapter);
  if (settings.json) {
    printLines(terminal.print, JSON.stringify({ output_dir, layers: combined.layers }, null, 2));
    return 0;
  }
  const several = adapters.length === 1 ? "1 adapter" : `${adapters.length} adapters`;
  const { combination_type: type } = settings;
  terminal.print(
    `Combined ${several} by ${type}: ${describeRanks(combined.layers)}. Saved to ${output_dir}.`,
  );
  for (const line of describeErrors(combined.layers)) terminal.print(line);
  return 0;
}
