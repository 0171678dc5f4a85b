import type { DataPlace } from "../data/feed/feed.ts";
import type { Parameters } from "../nn/parameters.ts";
import type { Optimizer } from "./optimizer.ts";

/** Where a run is: with the same settings, base and data all that its next step depends on. */
export class TrainState {
  readonly parameters: Parameters;
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

  /** Frees what the run alone needs: the optimiser's tensors. */
  release(): void {
    this.optimizer.release();
  }
}
