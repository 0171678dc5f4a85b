import shader from "../../shaders/adamw.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { runUpdate, type UpdateTensors } from "./update.ts";

/** What AdamW updates and reads: flat f32 tensors of equal size. */
export interface AdamWTensors extends UpdateTensors {
  /** First moment, zeros before the first step. */
  m: Tensor;
  /** Second moment, zeros before the first step. */
  v: Tensor;
}

/** Hyperparameters of one step. */
export interface AdamWStep {
  learningRate: number;
  beta1?: number;
  beta2?: number;
  eps?: number;
  weightDecay?: number;
  /** 1 for the first step. */
  step: number;
}

/** One AdamW step in place, exactly torch.optim.AdamW's: decoupled decay first, bias corrections, ε after the root. */
export function adamW({ m, v, ...tensors }: AdamWTensors, step: AdamWStep): void {
  runUpdate(shader, tensors, { m, v }, adamWParams("adamW", step));
}

/** `Params` of a step that both AdamW kernels share. */
export function adamWParams(
  where: string,
  { learningRate, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, step }: AdamWStep,
): Record<string, number> {
  if (!(step >= 1)) fail(where, `step is ${step}; the first is 1`);
  return {
    ...{ beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps },
    decay: learningRate * weightDecay,
    step: learningRate / (1 - beta1 ** step),
    root_correction: Math.sqrt(1 - beta2 ** step),
  };
}
