import { empty, fromArray } from "../../gpu/tensor.ts";
import { adamW8bit, MOMENT_BLOCK, momentTables } from "../../kernels/adamw-8bit.ts";
import { fill, zeros } from "../../kernels/elementwise.ts";
import type { OptimizerMethod } from "./method.ts";

/**
 * AdamW whose moments take 8 bits each, by blocks of 256 parameters, with the values of bitsandbytes' tables: Dettmers et al.
 * 2021, arXiv 2110.02861. Small tensors have moments of 8 bits, too.
 */
export const adamW8bitMethod: OptimizerMethod = {
  create({ layout: _, ...tensors }, { betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay }) {
    const { device, size } = tensors.parameters;
    const codes = () => fill(empty(device, [size / 4], "u32"), 0); // the bits of 0.0
    const [m, v] = [codes(), codes()];
    const scales = zeros(device, [Math.ceil(size / MOMENT_BLOCK), 2]);
    const tables = fromArray(device, momentTables(), [512]);
    return {
      state: { exp_avg: m, exp_avg_sq: v, absmax: scales },
      fixed: [tables],
      update: (step) =>
        adamW8bit({ ...tensors, m, v, scales, tables }, { ...step, beta1, beta2, eps, weightDecay }),
    };
  },
};
