import { zeros } from "../../kernels/elementwise.ts";
import { lion } from "../../kernels/lion.ts";
import type { OptimizerMethod } from "./method.ts";

/** Lion, with the betas of its paper unless told otherwise: Chen et al. 2023, arXiv 2302.06675. Its rate is a third to a tenth of AdamW's. */
export const lionMethod: OptimizerMethod = {
  create({ layout: _, ...tensors }, { betas: [beta1, beta2] = [0.9, 0.99], weightDecay }) {
    const momentum = zeros(tensors.parameters.device, tensors.parameters.shape);
    const options = { beta1, beta2, weightDecay };
    return {
      state: { exp_avg: momentum },
      update: ({ learningRate }) => lion({ ...tensors, momentum }, { ...options, learningRate }),
    };
  },
};
