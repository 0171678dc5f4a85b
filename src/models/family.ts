import type { Device } from "../gpu/device.ts";
import type { Renames, Weights } from "../nn/weights.ts";
import type { Adaptive } from "./adaptable.ts";
import type { ConfigReader } from "./config-reader.ts";
import type { BaseModel, ModelOf, Task } from "./model.ts";

/** A family of models: what its config says, in which architecture it is built, and what adapters target in it. */
export interface Family {
  /** `model_type` of its configs: stands in for the architecture where a config names none. */
  readonly modelType: string;
  /** What its head is for. */
  readonly task: Task;
  /** Names in files of other versions, or of a model without this head. */
  readonly renames: Renames;
  /** Path of the body, `base_model_prefix` of the class: files may have it or lack it. */
  readonly prefix: string;
  /**
   * Tensors of an output layer that shares those of the embedding, and what each shares: a file may hold both. Own
   * names; empty where there is no output layer of this kind.
   */
  readonly ties: Ties;
  /** Own names → those that transformers writes into files, where they differ: other tools know these. */
  readonly fileNames: Renames;
  /** Tensors that checkpoints may hold beside the model's: heads of other tasks, buffers. Own names. */
  readonly leftovers?: RegExp | undefined;
  /** PEFT's default target modules of this model type. */
  readonly defaultTargets: readonly string[];
  /** Reads the config; what it gives can be used once {@link ConfigReader.finish} has found nothing wrong. */
  prepare(config: ConfigReader): PreparedModel;
}

/** What a family read in a config. */
export interface PreparedModel {
  /** The architecture's own config, as the built model has it. */
  readonly config: object;
  build(device: Device, weights: Weights): BuiltModel;
}

/** The tensor of an output layer, and the one that it shares. */
export type Ties = readonly (readonly [copy: string, source: string])[];

/** What the registry adds to a built model. */
type Identity = Adaptive &
  Pick<BaseModel, "defaultTargets" | "headModules" | "architecture" | "modelType" | "renames">;

/** A model of one task as its architecture's file builds it. */
export type Built<T extends Task> = Omit<ModelOf[T], keyof Identity>;

/** A model as its architecture's file builds it. */
export type BuiltModel = { [T in Task]: Built<T> }[Task];

/** Joins a family's reader with the builder of an architecture, whose own kind of config stays between the two. */
export function family<C extends object>(parts: {
  modelType: string;
  task?: Task;
  renames?: Renames;
  prefix?: string;
  ties?: Ties;
  fileNames?: Renames;
  leftovers?: RegExp;
  defaultTargets: readonly string[];
  /** `config.json` → the architecture's own config. */
  read: (config: ConfigReader) => C;
  build: (device: Device, weights: Weights, config: C) => BuiltModel;
}): Family {
  const { read, build, ...rest } = parts;
  return {
    task: "causal-lm",
    renames: [],
    prefix: "model",
    ties: [],
    fileNames: [],
    ...rest,
    prepare(reader) {
      const config = read(reader);
      return { config, build: (device, weights) => build(device, weights, config) };
    },
  };
}
