import type { Device } from "../gpu/device.ts";
import type { Weights } from "../nn/weights.ts";
import type { ConfigReader } from "./config-reader.ts";
import type { LanguageModel } from "./model.ts";

/** A family of models: what its config says, in which architecture it is built, and what adapters target in it. */
export interface Family {
  /** `model_type` of its configs: stands in for the architecture where a config names none. */
  readonly modelType: string;
  /** PEFT's default target modules of this model type. */
  readonly defaultTargets: readonly string[];
  /** Reads the config; returns what builds the model, once {@link ConfigReader.finish} has found nothing wrong. */
  prepare(config: ConfigReader): (device: Device, weights: Weights) => BuiltModel;
}

/** A model as its architecture's file builds it; the registry adds the family's targets. */
export type BuiltModel = Omit<LanguageModel, "defaultTargets">;

/** Joins a family's reader with the builder of an architecture, whose own kind of config stays between the two. */
export function family<C>(parts: {
  modelType: string;
  defaultTargets: readonly string[];
  /** `config.json` → the architecture's own config. */
  read: (config: ConfigReader) => C;
  build: (device: Device, weights: Weights, config: C) => BuiltModel;
}): Family {
  const { modelType, defaultTargets, read, build } = parts;
  return {
    modelType,
    defaultTargets,
    prepare(reader) {
      const config = read(reader);
      return (device, weights) => build(device, weights, config);
    },
  };
}
