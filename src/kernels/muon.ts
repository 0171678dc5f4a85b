import shader from "../../shaders/muon.wgsl";
import { empty, scoped, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { scale } from "./elementwise.ts";
import { runElements } from "./launch.ts";
import { matmul } from "./matmul.ts";
import { checkRates, RATE_BLOCK, type UpdateTensors } from "./update.ts";

/** Coefficients of the quintic, steps and ε of {@link orthogonalize}. */
export interface NewtonSchulz {
  coefficients: readonly [number, number, number];
  steps: number;
  /** Least norm that a matrix is divided by. */
  eps: number;
}

/** What Muon updates and reads: flat f32 tensors of equal size. */
export interface MuonTensors extends UpdateTensors {
  /** Zeros before the first step. */
  momentum: Tensor;
  /** The matrices among the parameters: where each begins, and its rows and columns. */
  matrices: readonly { first: number; rows: number; columns: number }[];
}

/** Hyperparameters of one step. */
export interface MuonStep extends NewtonSchulz {
  learningRate: number;
  momentum: number;
  nesterov: boolean;
  /** Decoupled. */
  weightDecay: number;
}

/**
 * One step of torch.optim.Muon in place, in f32 where that rounds to bf16; other parameters than the matrices stay.
 * Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.
 */
export function muon(tensors: MuonTensors, step: MuonStep): void {
  const { parameters, gradients, momentum, outcome, rates, matrices } = tensors;
  const { device, size } = parameters;
  for (const tensor of [gradients, momentum])
    if (tensor.size !== size) fail("muon", `${size} parameters, but a tensor of ${tensor.size}`);
  checkRates("muon", rates, size);
  scoped(device, () => {
    const updates = empty(device, [size]);
    runElements(device, shader, "momentum", {
      bind: { gradient: gradients, m: momentum, u: updates },
      whole: { outcome },
      params: ({ count }) => ({ ...NOTHING, count, momentum: step.momentum, rest: 1 - step.momentum }),
      constants: { NESTEROV: step.nesterov },
    });
    for (const { first, rows, columns } of matrices) {
      scoped(device, () => {
        const place = (tensor: Tensor) =>
          tensor
            .reshape([size])
            .slice(first, first + rows * columns)
            .reshape([rows, columns]);
        const orthogonal = orthogonalize(place(updates), step);
        runElements(device, shader, "apply", {
          bind: { p: place(parameters), orthogonal },
          whole: { outcome, rates },
          changing: true, // the rate
          params: ({ count, width }, start) => ({
            ...NOTHING,
            ...{
              count,
              first_block: (first + start) / RATE_BLOCK,
              block_shift: Math.log2(RATE_BLOCK / width),
            },
            lr: step.learningRate * Math.sqrt(Math.max(1, rows / columns)),
            decay: step.learningRate * step.weightDecay,
          }),
        });
        return undefined;
      });
    }
    return undefined;
  });
}

/** `Params` that an entry point does not read. */
const NOTHING = {
  ...{ count: 0, first_block: 0, block_shift: 0 },
  ...{ momentum: 0, rest: 0, eps: 0, lr: 0, decay: 0 },
};

/**
 * A matrix with nearly the singular vectors of X and singular values near 1: X ← a X + (b X Xᵀ + c (X Xᵀ)²) X, begun with
 * X divided by its norm.
 * @param x `[rows, columns]` f32
 */
export function orthogonalize(x: Tensor, { coefficients, steps, eps }: NewtonSchulz): Tensor {
  const { device, rows, columns } = x;
  const [a, b, c] = coefficients;
  const isTall = rows > columns; // the smaller of the two products with itself
  return scoped(device, () => {
    let y = normalized(x, eps);
    for (let step = 0; step < steps; step++) {
      const gram = matmul(y, y, { layout: isTall ? "TN" : "NT" });
      const polynomial = matmul(gram, gram, { layout: "NN", alpha: c, into: scale(gram, b) });
      const into = scale(y, a);
      y = isTall
        ? matmul(y, polynomial, { layout: "NN", into })
        : matmul(polynomial, y, { layout: "NN", into });
    }
    return y;
  });
}

/** X / max(‖X‖, ε). */
function normalized(x: Tensor, eps: number): Tensor {
  const y = empty(x.device, x.shape);
  x.device.run(shader, "normalise", {
    bind: { source: x, normal: y },
    params: { ...NOTHING, count: x.size, eps },
    grid: [1],
  });
  return y;
}
