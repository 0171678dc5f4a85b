import type { Device } from "../gpu/device.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import type { Weights } from "../nn/weights.ts";
import { CLASSIC_FAMILIES } from "./classic-families.ts";
import type { HfConfig } from "./config-reader.ts";
import { DECODERS } from "./decoder-families.ts";
import { decoderFamilies } from "./decoder-heads.ts";
import { ENCODER_FAMILIES } from "./encoder-families.ts";
import { EXPERT_DECODERS } from "./expert-families.ts";
import type { AnyModel, Task } from "./model.ts";
import { type Families, type ModelPlan, planOf } from "./plan.ts";
import { VISION_FAMILIES } from "./vision-families.ts";

/** Every architecture name of a `config.json` that can be loaded. Another architecture's file adds its own table here. */
const FAMILIES: Families = {
  ...decoderFamilies([...DECODERS, ...EXPERT_DECODERS]),
  ...CLASSIC_FAMILIES,
  ...ENCODER_FAMILIES,
  ...VISION_FAMILIES,
};

/** Reads a `config.json`. @throws as {@link planOf} does */
export function planModel(config: HfConfig, task?: Task, layerReplication?: LayerReplication): ModelPlan {
  return planOf(FAMILIES, config, task, layerReplication);
}

/** What the head of a class of transformers is for; undefined for a class that is not known here. */
export function taskOfArchitecture(architecture: string): Task | undefined {
  return Object.hasOwn(FAMILIES, architecture) ? FAMILIES[architecture]?.task : undefined;
}

/** Builds the model that a `config.json` describes. @throws as {@link planOf} does */
export function buildModel(device: Device, config: HfConfig, weights: Weights, task?: Task): AnyModel {
  return planModel(config, task).build(device, weights);
}
