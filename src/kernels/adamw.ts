import shader from "../../shaders/adamw.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { runElements } from "./launch.ts";

/** What AdamW updates and reads: flat f32 tensors of equal size. */
export interface AdamWTensors {
  parameters: Tensor;
  gradients: Tensor;
  /** First moment, zeros before the first step. */
  m: Tensor;
  /** Second moment, zeros before the first step. */
  v: Tensor;
  /** `[2]` from {@link judgeStep}: the gradients are multiplied by its factor, and 0 skips the update. */
  normAndClip: Tensor;
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
export function adamW(
  { parameters, gradients, m, v, normAndClip }: AdamWTensors,
  { learningRate, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, step }: AdamWStep,
): void {
  const { device, size } = parameters;
  for (const tensor of [gradients, m, v]) {
    if (tensor.size !== size) fail("adamW", `${size} parameters, but a tensor of ${tensor.size}`);
  }
  if (!(step >= 1)) fail("adamW", `step is ${step}; the first is 1`);
  runElements(device, shader, "forward", {
    bind: { p: parameters, gradient: gradients, m, v },
    whole: { norm_and_clip: normAndClip },
    changing: true, // bias corrections, and the rate
    params: ({ count }) => ({
      ...{ count, beta1, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps },
      decay: 1 - learningRate * weightDecay,
      step: learningRate / (1 - beta1 ** step),
      root_correction: Math.sqrt(1 - beta2 ** step),
    }),
  });
}
