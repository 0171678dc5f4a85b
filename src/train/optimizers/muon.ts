import type { Tensor } from "../../gpu/tensor.ts";
import { adamW } from "../../kernels/adamw.ts";
import { zeros } from "../../kernels/elementwise.ts";
import { muon } from "../../kernels/muon.ts";
import { RATE_BLOCK } from "../../kernels/update.ts";
import type { OptimizerMethod } from "./method.ts";

/** torch.optim.Muon's values. */
const DEFAULTS = { coefficients: [3.4445, -4.775, 2.0315], steps: 5, eps: 1e-7 } as const;

/**
 * torch.optim.Muon for matrices: Jordan et al. 2024. Vectors, which that refuses, are updated by AdamW at the same rate.
 */
export const muonMethod: OptimizerMethod = {
  create({ layout, ...tensors }, { momentum: kept = 0.95, nesterov = true, weightDecay, betas, eps }) {
    const { device, shape, size } = tensors.parameters;
    const isMatrix = ({ shape }: Tensor) => shape.length === 2;
    const entries = layout.entries.map(({ tensor }) => tensor);
    const matrices = entries
      .filter(isMatrix)
      .map(({ byteOffset, rows, columns }) => ({ first: byteOffset / 4, rows, columns }));
    const vectors = entries.filter((tensor) => !isMatrix(tensor));
    const momentum = zeros(device, shape);
    const moments = vectors.map(({ size }) => [zeros(device, [size]), zeros(device, [size])] as const);
    const [beta1, beta2] = betas ?? [0.9, 0.999];
    return {
      state: {
        momentum_buffer: momentum,
        ...Object.fromEntries(
          moments.flatMap(([m, v], i) => [
            [`exp_avg.${i}`, m],
            [`exp_avg_sq.${i}`, v],
          ]),
        ),
      },
      update(step) {
        const options = { ...DEFAULTS, momentum: kept, nesterov, weightDecay };
        muon({ ...tensors, momentum, matrices }, { ...options, learningRate: step.learningRate });
        for (const [i, vector] of vectors.entries()) {
          const first = vector.byteOffset / 4;
          const part = (tensor: Tensor) => tensor.reshape([size]).slice(first, first + vector.size);
          const [m, v] = moments[i] as (typeof moments)[number];
          const { parameters, gradients, outcome, rates } = tensors;
          adamW(
            {
              ...{ parameters: part(parameters), gradients: part(gradients), m, v, outcome },
              ...{ rates, firstBlock: first / RATE_BLOCK },
            },
            { ...step, beta1, beta2, eps: eps ?? 1e-8, weightDecay },
          );
        }
      },
    };
  },
};
