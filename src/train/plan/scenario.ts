import { type Adapter, attach } from "../../adapters/adapter.ts";
import type { Method } from "../../adapters/method.ts";
import type { DeviceFacts } from "../../gpu/shape-device.ts";
import type { FileSource } from "../../io/files/files.ts";
import type { HeadChoice, LoadedModel } from "../../load/model.ts";
import type { Quantization, QuantizationFormat } from "../../load/quantization.ts";
import { openShapeModel, type ShapeModel } from "../../load/shape-model.ts";
import { freePositions, type Task } from "../../models/model.ts";
import { LoraError } from "../../util/fail.ts";
import { exampleRows } from "./example-rows.ts";
import type { Measurable } from "./measurable.ts";
import type { MeasuredOptions, MemoryUse } from "./measure.ts";

/** What is trained, and how: one of several ways that a plan compares. */
export interface Scenario extends MeasuredOptions {
  readonly batchSize: number;
  readonly gradientAccumulationSteps: number;
  readonly gradientCheckpointing: boolean;
  /** Tokens of the longest row. */
  readonly maxLength: number;
  /** Makes the adapter. */
  readonly method: Method | OpenAdapter;
  readonly quantization: Quantization | QuantizationFormat | undefined;
}

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
  /** The error that it would end with; undefined where it would run. */
  readonly refusal: string | undefined;
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
  model(quantization: Scenario["quantization"], kind: Bounds = "buffers"): Promise<ShapeModel> {
    const key = JSON.stringify([quantization, kind]);
    const known = this.#models.get(key);
    if (known) return known;
    const { facts, task, labels, seed, onWarning, layerReplication } = this.#options;
    const head = { ...(task && { task }), labels, layerReplication, ...(seed !== undefined && { seed }) };
    const isFirst = this.#models.size === 0; // what deserves attention is told once
    const opened = openShapeModel(this.#files, without(facts, kind), {
      ...{ ...head, quantization },
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
    await this.model(scenario.quantization); // what is wrong with the model is no refusal of the device
    try {
      return { ...(await this.#measure(scenario, of, "buffers")), refusal: undefined };
    } catch (error) {
      const isRefusal = error instanceof LoraError && ["out-of-memory", "unsupported"].includes(error.kind);
      if (!isRefusal) throw error;
      return { ...(await this.#measure(scenario, of, "all")), refusal: error.message };
    }
  }

  async #measure(
    scenario: Scenario,
    of: "data" | "examples",
    kind: Bounds,
  ): Promise<Omit<Measured, "refusal">> {
    const { method, quantization, ...options } = scenario;
    const shape = await this.model(quantization, kind);
    const { model, ledger } = shape;
    ledger.phase = "adapter";
    const adapter =
      typeof method === "function" ? await method(model) : attach(model, withoutBeginning(method));
    try {
      const { rows, examples = exampleRows } = this.#options;
      const { maxLength, batchSize } = options;
      const measurable =
        rows && of === "data" ? await rows(model) : examples(model, batchSize, within(model, maxLength));
      const trainable = adapter.parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
      return { ...(await measurable.measure(shape, adapter, options)), trainable };
    } finally {
      adapter.release();
    }
  }
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
function withoutBeginning(method: Method): Method {
  return {
    ...method,
    tensors: (site) =>
      Object.fromEntries(
        Object.entries(method.tensors(site)).map(([name, { begin: _, ...plan }]) => [name, plan]),
      ),
  };
}
