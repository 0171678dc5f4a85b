import type { LayerReplication } from "../nn/replicate.ts";
import type { HfConfig } from "./config-reader.ts";
import { DECODER_FAMILIES } from "./decoder-families.ts";
import type { Task } from "./model.ts";
import { type ModelPlan, planOf } from "./plan.ts";

/** Reads a `config.json`; what few models need is loaded for them: other heads, encoders, vision, the families before Llama and those with experts. @throws as {@link planOf} does */
export async function openPlan(
  config: HfConfig,
  task?: Task,
  layerReplication?: LayerReplication,
): Promise<ModelPlan> {
  if (isDecoder(config, task)) return planOf(DECODER_FAMILIES, config, task, layerReplication);
  const { planModel } = await import("./families.ts");
  return planModel(config, task, layerReplication);
}

/** Whether the config names one of these, and no other head is wanted. */
function isDecoder({ architectures }: HfConfig, task: Task | undefined): boolean {
  const name: unknown = Array.isArray(architectures) && architectures.length === 1 && architectures[0];
  const family = typeof name === "string" && Object.hasOwn(DECODER_FAMILIES, name) && DECODER_FAMILIES[name];
  return family ? task === undefined || family.task === task : false;
}
