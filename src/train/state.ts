import type { DataPlace } from "../data/feed/feed.ts";
import { readAndRelease, type Tensor } from "../gpu/tensor.ts";
import type { RunState, StateTensor } from "../io/formats/run-state.ts";
import type { Parameters } from "../nn/parameters.ts";
import { failAll, Problems } from "../util/fail.ts";
import type { Optimizer } from "./optimizer.ts";

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

  constructor(parameters: Parameters, optimizer: Optimizer) {
    this.parameters = parameters;
    this.optimizer = optimizer;
  }

  /** Goes on by a step that the device is through with. */
  finish({ step, terms, next }: { step: number; terms: number; next: DataPlace }): void {
    this.step = step;
    this.place = next;
    this.trainedTerms += terms;
  }

  /** Reads all of it from the device. Only where no step is under way does it belong together. */
  async capture(): Promise<RunState> {
    const { step, place, trainedTerms, parameters, optimizer } = this;
    const tensors = Object.entries(this.#tensors());
    const { device } = parameters.flat;
    const read = await readAndRelease(device, () => tensors.map(([, tensor]) => tensor));
    const stored = tensors.map(([name, { dtype, shape }], i): [string, StateTensor] => {
      return [name, { dtype: dtype === "u32" ? "U32" : "F32", shape, data: new Uint8Array(read[i] ?? []) }];
    });
    return {
      ...{ step, place, trainedTerms },
      optimizer: { name: optimizer.name, updates: optimizer.updates },
      parameters: this.#shapes(),
      tensors: new Map(stored),
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
  }

  /** Frees what the run alone needs: the optimiser's tensors. */
  release(): void {
    this.optimizer.release();
  }

  #tensors(): Readonly<Record<string, Tensor>> {
    const { parameters, optimizer } = this;
    const moments = Object.entries(optimizer.state).map(([name, tensor]) => [`optimizer.${name}`, tensor]);
    return { parameters: parameters.flat, ...Object.fromEntries(moments) };
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
