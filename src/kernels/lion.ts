import shader from "../../shaders/lion.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { runUpdate, type UpdateTensors } from "./update.ts";

/** What Lion updates and reads: flat f32 tensors of equal size. */
export interface LionTensors extends UpdateTensors {
  /** Zeros before the first step. */
  momentum: Tensor;
}

/** Hyperparameters of one step. */
export interface LionStep {
  learningRate: number;
  /** Weighs the momentum in the update. */
  beta1: number;
  /** Weighs the momentum in the next momentum. */
  beta2: number;
  /** Decoupled. */
  weightDecay?: number;
}

/** One step of Lion in place: Chen et al. 2023, arXiv 2302.06675. */
export function lion(
  { momentum: m, ...tensors }: LionTensors,
  { learningRate, beta1, beta2, weightDecay = 0 }: LionStep,
): void {
  runUpdate(
    shader,
    tensors,
    { m },
    {
      ...{ lr: learningRate, decay: learningRate * weightDecay },
      ...{ beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2 },
    },
  );
}
