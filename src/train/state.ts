import type { DataPlace } from "../data/feed/feed.ts";
import { readAndRelease, type Tensor } from "../gpu/tensor.ts";
import type { RunState, StateTensor } from "../io/formats/run-state.ts";
import { Mirror } from "../nn/mirror.ts";
import type { Parameters } from "../nn/parameters.ts";
import { byteView } from "../util/bytes.ts";
import { failAll, Problems } from "../util/fail.ts";
import type { LossScale } from "./loss-scale.ts";
import type { Optimizer } from "./optimizer.ts";

/** The name of the flat buffer among a state's tensors. */
const PARAMETERS = "parameters";

/** What the host knows of a state: its tensors apart. */
export type RunCounters = Pick<RunState, "step" | "place" | "trainedTerms"> & {
  readonly trainedTokens: number;
  /** The optimiser's. */
  readonly updates: number;
  /** Of the next step, in mixed precision. */
  readonly lossScale?: LossScale;
};

interface FinishedCounts {
  readonly step: number;
  readonly terms: number;
  readonly tokens: number;
  /** Where the step after it begins. */
  readonly next: DataPlace;
}

/**
 * Where a run is: with the same settings, base and data all that its next step depends on. What is drawn by chance depends on
 * the seed, the step and the place in the data alone.
 */
export class TrainState {
  /** What is trained. */
  readonly parameters: Parameters;
  /** What updates it. */
  readonly optimizer: Optimizer;
  /** Finished optimiser steps. */
  step = 0;
  /** Where in the data the next step begins. */
  place: DataPlace = { epoch: 0, index: 0 };
  /** Terms of the loss so far. */
  trainedTerms = 0;
  /** Tokens so far, without padding. */
  trainedTokens = 0;
  /** Of the next step, in mixed precision. */
  lossScale: LossScale | undefined;
  /** Parts that each micro-batch is computed in. */
  readonly batchSplit: number;
  /** What several processes need for the steps that they take together, by name. */
  readonly #outer: Readonly<Record<string, Tensor>>;
  #mirror: Mirror<RunCounters> | undefined;

  constructor(
    parameters: Parameters,
    optimizer: Optimizer,
    { batchSplit = 1, outer = {} }: { batchSplit?: number; outer?: Readonly<Record<string, Tensor>> } = {},
  ) {
    this.parameters = parameters;
    this.optimizer = optimizer;
    this.batchSplit = batchSplit;
    this.#outer = outer;
  }

  /** What the host knows of it. */
  get counters(): RunCounters {
    const { step, place, trainedTerms, trainedTokens, optimizer, lossScale } = this;
    const { updates } = optimizer;
    return { step, place, trainedTerms, trainedTokens, updates, ...(lossScale && { lossScale }) };
  }

  /** Goes on by a step that the device is through with. */
  finish({ step, terms, tokens, next }: FinishedCounts): void {
    this.step = step;
    this.place = next;
    this.trainedTerms += terms;
    this.trainedTokens += tokens;
    this.#mirror?.tell(step);
  }

  /** Reads all of it from the device. Only where no step is under way does it belong together. */
  async capture(): Promise<RunState> {
    const { counters } = this;
    const tensors = Object.entries(this.#tensors());
    const { device } = this.parameters.flat;
    const read = await readAndRelease(device, () => tensors.map(([, tensor]) => tensor));
    return this.#stateOf(
      counters,
      new Map(tensors.map(([name], i) => [name, new Uint8Array(read[i] ?? [])])),
    );
  }

  /** Begins to keep a copy of it on the host. */
  async mirror(): Promise<Mirror<RunCounters>> {
    const { [PARAMETERS]: flat, ...others } = this.#tensors();
    const { step, counters: note } = this;
    const { still } = this.parameters;
    this.#mirror = await Mirror.open(flat as Tensor, { step, others, still, note });
    this.parameters.mirror = this.#mirror;
    return this.#mirror;
  }

  /** The newest state that the host has a copy of, also where the device is lost; undefined where there is none. */
  get mirrored(): RunState | undefined {
    const whole = this.#mirror?.whole;
    if (!whole) return undefined;
    const { values, others, note } = whole;
    return this.#stateOf(note, new Map([[PARAMETERS, byteView(values)], ...others]));
  }

  #stateOf({ updates, ...place }: RunCounters, bytes: ReadonlyMap<string, Uint8Array>): RunState {
    const { optimizer, batchSplit } = this;
    const tensors = Object.entries(this.#tensors()).map(([name, { dtype, shape }]): [string, StateTensor] => {
      const data = bytes.get(name) as Uint8Array;
      return [name, { dtype: dtype === "u32" ? "U32" : "F32", shape, data }];
    });
    return {
      ...place,
      optimizer: { name: optimizer.name, updates },
      ...(batchSplit > 1 && { batchSplit }),
      parameters: this.#shapes(),
      tensors: new Map(tensors),
    };
  }

  /**
   * Goes on from a state of the same parameters and optimiser.
   * @throws LoraError that lists what is different
   */
  restore(state: RunState): void {
    failAll(
      "resume",
      this.#differences(state),
      "resume with what the run was begun with, or begin a new one",
    );
    for (const [name, tensor] of Object.entries(this.#tensors()))
      tensor.write(state.tensors.get(name)?.data as Uint8Array);
    this.optimizer.updates = state.optimizer.updates;
    this.step = state.step;
    this.place = state.place;
    this.trainedTerms = state.trainedTerms;
    this.trainedTokens = state.trainedTokens ?? 0;
    this.lossScale = state.lossScale;
  }

  /** Takes the parameters of another state of the same run, as they were then, and nothing more: the run is over. */
  adopt(state: RunState): void {
    failAll("resume", this.#differences(state), "take a state of this run");
    for (const [name, tensor] of Object.entries(this.#learnt()))
      tensor.write(state.tensors.get(name)?.data as Uint8Array);
    this.parameters.updates = (this.parameters.updates ?? 0) + 1;
    this.step = state.step;
    if (this.#mirror) this.#mirror.step = state.step;
  }

  /** Frees what the run alone needs: the optimiser's tensors. */
  release(): void {
    this.optimizer.release();
  }

  #tensors(): Readonly<Record<string, Tensor>> {
    const { [PARAMETERS]: flat, ...kept } = this.#learnt();
    const { optimizer } = this;
    const moments = { ...prefixed("optimizer", optimizer.state), ...prefixed("outer", this.#outer) };
    return { [PARAMETERS]: flat as Tensor, ...moments, ...kept };
  }

  /** What outlives the run. */
  #learnt(): Readonly<Record<string, Tensor>> {
    const { flat, kept = {} } = this.parameters;
    return { [PARAMETERS]: flat, ...prefixed("kept", kept) };
  }

  #shapes(): Record<string, readonly number[]> {
    return Object.fromEntries(this.parameters.entries.map(({ name, tensor }) => [name, tensor.shape]));
  }

  #differences({ optimizer, parameters, tensors }: RunState): Problems {
    const problems = new Problems();
    const { name } = this.optimizer;
    if (optimizer.name !== name) problems.push(`the optimiser was ${optimizer.name}, and is ${name}`);
    const shapes = this.#shapes();
    for (const name of new Set([...Object.keys(parameters), ...Object.keys(shapes)])) {
      const [was, is] = [parameters[name], shapes[name]].map((shape) => shape && `[${shape}]`);
      if (was !== is) problems.push(`${name} was ${was ?? "not trained"}, and is ${is ?? "not trained"}`);
    }
    if (problems.length > 0) return problems;
    for (const [name, { byteLength }] of Object.entries(this.#tensors())) {
      const got = tensors.get(name)?.data.length;
      if (got !== byteLength) problems.push(`${name} has ${got ?? "no"} bytes, wanted ${byteLength}`);
    }
    return problems;
  }
}

function prefixed(prefix: string, tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [`${prefix}.${name}`, tensor]));
}
