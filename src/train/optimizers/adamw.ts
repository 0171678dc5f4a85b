import { adamW } from "../../kernels/adamw.ts";
import { zeros } from "../../kernels/elementwise.ts";
import type { OptimizerMethod } from "./method.ts";

/** torch.optim.AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101. */
export const adamWMethod: OptimizerMethod = {
  create({ layout: _, ...tensors }, { betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay }) {
    const { device, shape } = tensors.parameters;
    const [m, v] = [zeros(device, shape), zeros(device, shape)];
    return {
      state: { exp_avg: m, exp_avg_sq: v },
      update: (step) => adamW({ ...tensors, m, v }, { ...step, beta1, beta2, eps, weightDecay }),
    };
  },
};
