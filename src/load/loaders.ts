import type { Adapter } from "../adapters/adapter.ts";
import type { InspectedModel } from "../data/inspect/inspect-data.ts";
import { DEVICE, type Device } from "../gpu/device.ts";
import type { FileSource } from "../io/files/files.ts";
import type { Task } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import { PLAN_RULES, type PlanOptions, planFiles, type TrainingPlan } from "../train/plan/plan-training.ts";
import {
  callback,
  checkOptions,
  flag,
  pickOptions,
  type Rules,
  required,
  text,
  words,
} from "../util/options.ts";
import { type LoadAdapterOptions, loadAdapter } from "./adapter.ts";
import { ggufBaseOfModel, inPeftFormat } from "./convert/formats.ts";
import {
  HEAD_RULES,
  type HeadChoice,
  type LoadedModel,
  type Model,
  openModel,
  openTaskModel,
  REPLICATION,
} from "./model.ts";
import { openModelText, openTaskText } from "./model-text.ts";
import { QUANTIZATION, type Quantization, type QuantizationFormat } from "./quantization.ts";

/** How the files of a model or of an adapter are found. */
export interface SourceOptions {
  /** Branch, tag or commit of a hub repository. */
  revision?: string | undefined;
  /** Access token of the hub. In Node that of `HF_TOKEN`, or of `hf auth login`, unless given. */
  token?: string | undefined;
  /**
   * Use what was downloaded before, and keep what is downloaded: in Node in a folder of the user's cache, in browsers in
   * their storage for this site (OPFS), where there is one. True unless given.
   */
  cache?: boolean | undefined;
  /**
   * Check every byte against the digests of the hub, also of what was downloaded and checked before, which is else known
   * by its size and time. False unless given.
   */
  verify?: boolean | undefined;
  /** Called with what deserves attention but is no error, one line at a time. */
  onWarning?: ((warning: string) => void) | undefined;
}

/** How a model is found, and where it goes. */
export interface LoadOptions extends SourceOptions {
  /** Where it runs; a new device unless given. */
  device?: Device | undefined;
  /** The frozen matrices take fewer bits: a format, or how exactly. */
  quantization?: Quantization | QuantizationFormat | undefined;
  /** Stacks the layers anew, PEFT's `layer_replication`, as an adapter asks for that was trained so; copies share their weights. */
  layerReplication?: LayerReplication | undefined;
}

/** What the options have to be. */
export const SOURCE_RULES: Rules<SourceOptions> = {
  revision: text(),
  token: text("use_auth_token"),
  cache: flag("cache_dir", "use_cache"),
  verify: flag(),
  onWarning: callback(),
};

const LOAD_RULES: Rules<LoadOptions> = {
  ...SOURCE_RULES,
  device: DEVICE,
  quantization: QUANTIZATION,
  layerReplication: REPLICATION,
};
const TASK_RULES: Rules<LoadOptions & HeadChoice<Task>> = { ...LOAD_RULES, ...HEAD_RULES };
const TEXT_RULES: Rules<SourceOptions & HeadChoice<Task>> = { ...SOURCE_RULES, ...HEAD_RULES };
const PLAN_TRAINING_RULES: Rules<SourceOptions & PlanOptions> = { ...SOURCE_RULES, ...PLAN_RULES };
const ADAPTER_RULES: Rules<SourceOptions & LoadAdapterOptions> = {
  ...SOURCE_RULES,
  name: words("adapter_name"),
  strict: flag(),
};

/** What differs from platform to platform. */
export interface Platform {
  /** Opens the device of this machine. */
  openDevice(): Promise<Device>;
  /** The files that a reference names: a folder, a URL, a hub id. */
  resolveFiles(reference: string, options: SourceOptions): Promise<FileSource>;
}

/** Loading on one platform. */
export interface Loaders {
  /**
   * Loads a language model from a folder (Node), a URL or a hub id such as `org/name` or `org/name@revision`.
   * @throws LoraError listing what is missing, misshapen or not supported, and of kind `network`, `no-adapter` or
   * `out-of-memory`
   */
  loadModel(reference: string, options?: LoadOptions): Promise<Model>;
  /**
   * Loads a model of any task, with the head that is asked for: `{ task: "sequence-classification", labels: ["no", "yes"] }`.
   * A head that the checkpoint lacks starts at random; `initialised` of the result names its tensors.
   * @throws LoraError as {@link Loaders.loadModel} does, and where the model has no head for the task
   */
  loadTaskModel<T extends Task>(
    reference: string,
    options?: LoadOptions & HeadChoice<T>,
  ): Promise<LoadedModel<T>>;
  /**
   * Reads what makes tokens of rows, and no weights: for `readRows` and `inspectData`, without a device. For other tasks than language
   * modelling it takes `task`, and `labels`, as `loadTaskModel` does.
   * @throws LoraError as {@link Loaders.loadModel} does
   */
  loadModelText(reference: string, options?: SourceOptions & HeadChoice<Task>): Promise<InspectedModel>;
  /**
   * What memory a run would take, whether it fits onto a device, and what would: of the weights the headers are read, and
   * nothing is loaded.
   * @throws LoraError listing what is not supported, and of kind `network`
   */
  planTraining(reference: string, options?: SourceOptions & PlanOptions): Promise<TrainingPlan>;
  /**
   * Puts a saved PEFT adapter on a model: a folder (Node), a URL or a hub id.
   * @throws LoraError listing every tensor that does not fit the model, or naming what is not supported
   */
  loadAdapter(
    model: LoadedModel,
    reference: string,
    options?: SourceOptions & LoadAdapterOptions,
  ): Promise<Adapter>;
}

/** @throws LoraError where what names a model or an adapter is no text */
function checkReference(where: string, reference: string): void {
  checkOptions(where, { reference }, { reference: required(words()) });
}

/** The functions that load, with what is the platform's own plugged in. */
export function createLoaders({ openDevice, resolveFiles }: Platform): Loaders {
  return {
    async loadModel(reference, options = {}) {
      checkReference("loadModel", reference);
      checkOptions("loadModel", options, LOAD_RULES);
      const { device, quantization, layerReplication, ...source } = options;
      const files = await resolveFiles(reference, source);
      return openModel(files, device ?? (await openDevice()), {
        onWarning: source.onWarning,
        quantization,
        layerReplication,
      });
    },
    async loadTaskModel(reference, options = {}) {
      checkReference("loadTaskModel", reference);
      checkOptions("loadTaskModel", options, TASK_RULES);
      const { task, labels, seed, device, quantization, layerReplication, ...source } = options;
      const files = await resolveFiles(reference, source);
      const { onWarning } = source;
      return openTaskModel(files, device ?? (await openDevice()), {
        ...{ task, labels, seed, onWarning, quantization, layerReplication },
      });
    },
    async planTraining(reference, options = {}) {
      checkReference("planTraining", reference);
      checkOptions("planTraining", options, PLAN_TRAINING_RULES);
      const files = await resolveFiles(reference, pickOptions(options, SOURCE_RULES));
      return planFiles(files, pickOptions(options, PLAN_RULES));
    },
    async loadModelText(reference, options = {}) {
      checkReference("loadModelText", reference);
      checkOptions("loadModelText", options, TEXT_RULES);
      const { task = "causal-lm", labels, seed: _, layerReplication: __, ...source } = options;
      const files = await resolveFiles(reference, source);
      if (task === "causal-lm") return openModelText(files);
      const { classes, ...text } = await openTaskText(files, { task, labels });
      return { ...text, ...(classes && { labels: classes }) };
    },
    async loadAdapter(model, reference, options = {}) {
      checkReference("loadAdapter", reference);
      checkOptions("loadAdapter", options, ADAPTER_RULES);
      requireModel("loadAdapter", model);
      const { name, strict, ...source } = options;
      const files = await inPeftFormat(await resolveFiles(reference, source), async () =>
        ggufBaseOfModel(model),
      );
      return loadAdapter(model, files, { name, strict, onWarning: source.onWarning });
    },
  };
}
