import { type Adapter, attach } from "../../adapters/adapter.ts";
import type { Method } from "../../adapters/method.ts";
import type { DeviceFacts } from "../../gpu/shape-device.ts";
import type { FileSource } from "../../io/files/files.ts";
import type { HeadChoice, LoadedModel } from "../../load/model.ts";
import type { OffloadedLayers, Offloading } from "../../load/offload.ts";
import type { Quantization, QuantizationFormat } from "../../load/quantization.ts";
import { openShapeModel, type ShapeModel } from "../../load/shape-model.ts";
import { freePositions, type Task } from "../../models/model.ts";
import { LoraError } from "../../util/fail.ts";
import { exampleRows } from "./example-rows.ts";
import type { Measurable } from "./measurable.ts";
import { type MeasuredOptions, type MemoryUse, withTextures } from "./measure.ts";
import { type GenerationMemory, measureGeneration } from "./other-passes.ts";

/** What is trained, and how: one of several ways that a plan compares. */
export interface Scenario extends MeasuredOptions {
  readonly batchSize: number;
  readonly gradientAccumulationSteps: number;
  readonly gradientCheckpointing: boolean;
  readonly activationBits: 8 | 32;
  /** Tokens of the longest row. */
  readonly maxLength: number;
  /** Makes the adapter. */
  readonly method: Method | OpenAdapter;
  readonly quantization: Quantization | QuantizationFormat | undefined;
  /** Layers that stay on the host. */
  readonly offload: Offloading | undefined;
  /** Tokens of the texts that are written during the run; none are unless given. */
  readonly maxNewTokens: number | undefined;
}

/** How a scenario holds the weights of the base. */
type Base = Partial<Pick<Scenario, "quantization" | "offload">>;

/** Puts an adapter that there is already on a model. */
export type OpenAdapter = (model: LoadedModel) => Promise<Adapter>;

/** Rows of data, for a model on a device that only counts. */
export type OpenRows = (model: LoadedModel) => Measurable | Promise<Measurable>;

/** As many rows of so many tokens as a task has at most, for a model on a device that only counts. */
export type ExampleRows = (model: LoadedModel, count: number, length: number) => Measurable;

/** A scenario's memory, and why the device would refuse it. */
export interface Measured extends MemoryUse {
  /** Parameters that are trained. */
  readonly trainable: number;
  /** What stays on the host, where something does. */
  readonly offload: OffloadedLayers | undefined;
  /** The error that it would end with; undefined where it would run. */
  readonly refusal: string | undefined;
}

/** What a run does beside training. */
export interface OtherPassOptions {
  /** Rows in a batch of an evaluation; those of a micro-batch unless given. */
  evalBatchSize?: number;
  /** Tokens that are written behind a prompt; both together are as long as a row. Nothing is written unless given. */
  maxNewTokens?: number;
}

/** What that takes, bytes. */
export interface OtherPasses {
  readonly evaluation: number;
  readonly generation?: number;
}

/** Which model, on which device. */
export interface SubjectOptions extends HeadChoice<Task> {
  readonly facts: DeviceFacts;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly rows?: OpenRows | undefined;
  readonly examples?: ExampleRows | undefined;
}

/** A limit that nothing meets. */
const BOUNDLESS = Number.MAX_SAFE_INTEGER;

/** Measures scenarios of one model. Models are opened once for each way of holding their weights. */
export class Subject {
  readonly #files: FileSource;
  readonly #options: SubjectOptions;
  readonly #models = new Map<string, Promise<ShapeModel>>();

  constructor(files: FileSource, options: SubjectOptions) {
    this.#files = files;
    this.#options = options;
  }

  /** @throws LoraError as `openTaskModel` does */
  model({ quantization, offload }: Base, kind: Bounds = "buffers"): Promise<ShapeModel> {
    const key = JSON.stringify([quantization, offload, kind]);
    const known = this.#models.get(key);
    if (known) return known;
    const { facts, task, labels, seed, onWarning, layerReplication } = this.#options;
    const head = { ...(task && { task }), labels, layerReplication, ...(seed !== undefined && { seed }) };
    const isFirst = this.#models.size === 0; // what deserves attention is told once
    const opened = openShapeModel(this.#files, without(facts, kind), {
      ...{ ...head, quantization, offload },
      ...(isFirst && { onWarning }),
    });
    this.#models.set(key, opened);
    return opened;
  }

  /**
   * The memory of a scenario.
   * @param of the data's rows, where there are any, or rows as long as they can be
   */
  async measure(scenario: Scenario, of: "data" | "examples" = "data"): Promise<Measured> {
    await this.model(scenario); // what is wrong with the model is no refusal of the device
    try {
      return { ...(await this.#measure(scenario, of, "buffers")), refusal: undefined };
    } catch (error) {
      const isRefusal = error instanceof LoraError && ["out-of-memory", "unsupported"].includes(error.kind);
      if (!isRefusal) throw error;
      return { ...(await this.#measure(scenario, of, "all")), refusal: error.message };
    }
  }

  /** What else a run does: evaluations, and texts where some are asked for. Bytes beside what is held then. */
  async otherPasses(
    scenario: Scenario,
    { evalBatchSize = scenario.batchSize }: Pick<OtherPassOptions, "evalBatchSize">,
  ): Promise<OtherPasses> {
    return this.#withAdapter(scenario, "all", async (shape) => {
      const rows = await this.#rowsOf(shape.model, scenario, "data", evalBatchSize);
      const evaluation = await rows.measureEvaluation(shape, evalBatchSize);
      const generation = generationOf(shape, scenario)?.passes;
      return { evaluation, ...(generation !== undefined && { generation }) };
    });
  }

  async #measure(
    scenario: Scenario,
    of: "data" | "examples",
    kind: Bounds,
  ): Promise<Omit<Measured, "refusal">> {
    const { method: _, quantization: __, offload: ___, maxNewTokens: ____, ...options } = scenario;
    return this.#withAdapter(scenario, kind, async (shape, adapter) => {
      const rows = await this.#rowsOf(shape.model, scenario, of, options.batchSize);
      const trainable = adapter.parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
      const stays = shape.model.offload;
      const offload = stays && { layers: stays.layers, bytes: stays.bytes };
      const use = await rows.measure(shape, adapter, options);
      return { ...withTextures(use, generationOf(shape, scenario)?.textures), trainable, offload };
    });
  }

  async #rowsOf(
    model: LoadedModel,
    { maxLength }: Scenario,
    of: "data" | "examples",
    count: number,
  ): Promise<Measurable> {
    const { rows, examples = exampleRows } = this.#options;
    return rows && of === "data" ? rows(model) : examples(model, count, within(model, maxLength));
  }

  async #withAdapter<T>(
    scenario: Scenario,
    kind: Bounds,
    body: (shape: ShapeModel, adapter: Adapter) => Promise<T>,
  ): Promise<T> {
    const { method } = scenario;
    const shape = await this.model(scenario, kind);
    const { model, ledger } = shape;
    ledger.phase = "adapter";
    const adapter =
      typeof method === "function" ? await method(model) : attach(model, withoutBeginning(method));
    try {
      return await body(shape, adapter);
    } finally {
      adapter.release();
    }
  }
}

/** What the texts of a run take; undefined where none are written. */
function generationOf(
  shape: ShapeModel,
  { maxLength, maxNewTokens }: Scenario,
): GenerationMemory | undefined {
  if (maxNewTokens === undefined || shape.model.task !== "causal-lm") return undefined;
  const promptLength = Math.max(1, maxLength - maxNewTokens);
  return measureGeneration(shape, shape.model, { promptLength, maxNewTokens });
}

/** A length that the model has positions for. */
export function within(model: LoadedModel, length: number): number {
  return model.task === "image-classification" ? length : Math.min(length, freePositions(model));
}

/** What a device is told to have no bounds of. */
type Bounds = "buffers" | "all";

/** The device with room for everything: how large a buffer gets is compared with its limit afterwards. */
function without(facts: DeviceFacts, kind: Bounds): DeviceFacts {
  const bounds = {
    maxBufferSize: BOUNDLESS,
    ...(kind === "all" && {
      maxStorageBufferBindingSize: BOUNDLESS,
      maxComputeWorkgroupsPerDimension: BOUNDLESS,
    }),
  };
  return { ...facts, limits: { ...facts.limits, ...bounds } };
}

/** The method with all its tensors at zero: what it begins with takes long and, on a device that only counts, is lost. */
export function withoutBeginning(method: Method): Method {
  return {
    ...method,
    tensors: (site) =>
      Object.fromEntries(
        Object.entries(method.tensors(site)).map(([name, { begin: _, ...plan }]) => [name, plan]),
      ),
  };
}
