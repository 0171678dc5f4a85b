import type { Tensor } from "../../gpu/tensor.ts";
import type { UpdateTensors } from "../../kernels/update.ts";
import type { Parameters } from "../../nn/parameters.ts";

/** What every optimiser may be told; what is left out has the default of the method, or none. */
export interface MethodOptions {
  /** Decay of running means: of gradients and of their squares, or of Lion's two. */
  betas?: readonly [number, number] | undefined;
  /** Keeps denominators from 0; AdamW's and Muon's. */
  eps?: number | undefined;
  weightDecay: number;
  /** Share of the momentum that is kept; SGD's and Muon's. */
  momentum?: number | undefined;
  /** Whether SGD or Muon looks ahead by one momentum. */
  nesterov?: boolean | undefined;
}

/** What a method is given when a run begins. */
export interface MethodInputs extends UpdateTensors {
  /** What the flat buffers consist of. */
  readonly layout: Parameters;
}

/** A step of a method. */
export interface MethodStep {
  readonly learningRate: number;
  /** Updates so far and this one, without the skipped ones: 1 for the first. */
  readonly step: number;
}

/** A method at work on some parameters. */
export interface Updater {
  /** All that it remembers from step to step, by name, so that a run can be written and read; zeros before the first step. */
  readonly state: Readonly<Record<string, Tensor>>;
  /** Memory that is none of its state: tables. */
  readonly fixed?: readonly Tensor[];
  /** Records one update. Where the outcome's factor is 0 it must change nothing, its state included. */
  update(step: MethodStep): void;
}

/** A way to update parameters by their gradients: one file, a line in the registry, and one where it is loaded. */
export interface OptimizerMethod {
  /** Allocates its state outside every scope. */
  create(inputs: MethodInputs, options: MethodOptions): Updater;
}
