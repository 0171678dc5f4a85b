import shader from "../../shaders/sgd.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { runUpdate, type UpdateTensors } from "./update.ts";

/** What SGD updates and reads: flat f32 tensors of equal size. */
export interface SgdTensors extends UpdateTensors {
  /** Zeros before the first step. */
  momentum: Tensor;
}

/** Hyperparameters of one step. */
export interface SgdStep {
  learningRate: number;
  /** Share of the momentum that is kept. */
  momentum: number;
  /** Look ahead by one momentum. */
  nesterov?: boolean;
  /** Added to the gradient: weightDecay · p. */
  weightDecay?: number;
}

/** One step of torch.optim.SGD in place, without dampening. */
export function sgd(
  { momentum: m, ...tensors }: SgdTensors,
  { learningRate, momentum, nesterov = false, weightDecay = 0 }: SgdStep,
): void {
  runUpdate(
    shader,
    tensors,
    { m },
    { lr: learningRate, decay: weightDecay, momentum },
    { NESTEROV: nesterov },
  );
}
