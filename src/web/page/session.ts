import type { Engine, EngineAdapter, EngineModel } from "../../engine/engine.ts";
import type { EngineMethod } from "../../engine/protocol.ts";
import type { DeviceInfo } from "../../gpu/device.ts";
import { fail } from "../../util/fail.ts";
import type { CurvePoint, Sample } from "./kept-run.ts";
import type { ModelChoice } from "./model-choice.ts";

/** What a session has from its start. */
export interface SessionNeeds {
  readonly engine: Engine;
  readonly device: DeviceInfo;
  /** Whether a reload can go on with what was begun. */
  readonly keeps: boolean;
}

/** A model that is loaded. */
export interface OpenedModel {
  readonly model: EngineModel;
  readonly choice: ModelChoice;
}

/** What the parts of the page share: the engine, and the one model that is open. */
export class Session {
  readonly engine: Engine;
  readonly device: DeviceInfo;
  readonly keeps: boolean;
  #opened: OpenedModel | undefined;

  constructor({ engine, device, keeps }: SessionNeeds) {
    this.engine = engine;
    this.device = device;
    this.keeps = keeps;
  }

  /** The model that is open, and where it is from; undefined while there is none. */
  get opened(): OpenedModel | undefined {
    return this.#opened;
  }

  /** The model that is open. @throws LoraError where none is */
  get model(): EngineModel {
    return this.#opened?.model ?? fail("model", "no model is open", "choose one first");
  }

  /** Puts a model in the place of the one before, which is freed. */
  async open(opened: OpenedModel): Promise<void> {
    await this.close();
    this.#opened = opened;
  }

  /** Frees the model. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    if (opened) await this.engine.release(opened.model);
  }
}

/** What is told of a run to whoever takes its adapter. */
export interface RunTold {
  /** The base's name. */
  readonly model: string;
  /** The name of the rows' file. */
  readonly data: string;
  readonly method: EngineMethod;
  /** What it was set to, by the command line's names. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** How the rows were read, by the same. */
  readonly reading: Readonly<Record<string, unknown>>;
  readonly device: string;
  readonly curve: readonly CurvePoint[];
  /** What was asked as it learnt, and what it said. */
  readonly prompt: string;
  readonly samples: readonly Sample[];
}

/** What was learnt, or is being learnt. */
export interface Learnt {
  readonly adapter: EngineAdapter;
  /** What is told of its run; absent where it was not trained here. */
  readonly told?: RunTold;
}
