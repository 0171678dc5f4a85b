import type { Device } from "../gpu/device.ts";
import { type LayerReplication, replicatedOrder, replicatedWeights } from "../nn/replicate.ts";
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
  /**
   * The same with its layers stacked anew; absent where PEFT finds no list of layers in the class.
   * @returns a text, which says what stands against it, where that is so
   */
  replicate?(ranges: LayerReplication): StackedModel | string;
}

/** A prepared model whose layers are stacked anew. */
export interface StackedModel extends Omit<PreparedModel, "replicate"> {
  /** Path of layer 0 without its number. */
  readonly layers: string;
}

/** The tensor of an output layer, and the one that it shares. */
export type Ties = readonly (readonly [copy: string, source: string])[];

/** What the registry adds to a built model. */
type Identity = Adaptive &
  Pick<
    BaseModel,
    "layerReplication" | "defaultTargets" | "headModules" | "architecture" | "modelType" | "renames"
  >;

/** A model of one task as its architecture's file builds it. */
export type Built<T extends Task> = Omit<ModelOf[T], keyof Identity>;

/** A model as its architecture's file builds it. */
export type BuiltModel = { [T in Task]: Built<T> }[Task];

/** How an architecture's layers are stacked anew. */
export interface Replicable<C> {
  /** Path of layer 0 without its number. */
  readonly layers: string;
  /** The config with these layers, or what stands against that. */
  config(own: C, ranges: LayerReplication): C | string;
}

function replicated<C extends object>(
  own: C,
  ranges: LayerReplication,
  {
    build,
    replicable: { layers, config },
  }: {
    build: (device: Device, weights: Weights, config: C) => BuiltModel;
    replicable: Replicable<C>;
  },
): StackedModel | string {
  const other = config(own, ranges);
  if (typeof other === "string") return other;
  const order = replicatedOrder(ranges);
  return {
    config: other,
    layers,
    build: (device, weights) => build(device, replicatedWeights(weights, layers, order), other),
  };
}

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
  replicable?: Replicable<C>;
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
      const { replicable } = rest;
      return {
        config,
        build: (device, weights) => build(device, weights, config),
        ...(replicable && { replicate: (ranges) => replicated(config, ranges, { build, replicable }) }),
      };
    },
  };
}
