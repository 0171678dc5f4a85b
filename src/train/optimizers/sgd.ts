import { zeros } from "../../kernels/elementwise.ts";
import { sgd } from "../../kernels/sgd.ts";
import type { OptimizerMethod } from "./method.ts";

/** torch.optim.SGD; without momentum unless told otherwise, as there. */
export const sgdMethod: OptimizerMethod = {
  create({ layout: _, ...tensors }, { momentum: kept = 0, nesterov = false, weightDecay }) {
    const momentum = zeros(tensors.parameters.device, tensors.parameters.shape);
    const options = { momentum: kept, nesterov, weightDecay };
    return {
      state: { momentum_buffer: momentum },
      update: ({ learningRate }) => sgd({ ...tensors, momentum }, { ...options, learningRate }),
    };
  },
};
