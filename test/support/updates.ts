// What the tests and benchmarks of optimisers' kernels share.
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { equalRates, type UpdateTensors } from "../../src/kernels/update.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats } from "./device.ts";

/** Parameters with gradients of 0, to be multiplied by `factor`. */
export function updateTensors(device: Device, parameters: ArrayLike<number>, factor = 1): UpdateTensors {
  const shape = [parameters.length];
  return {
    parameters: floats(device, parameters, shape),
    gradients: zeros(device, shape),
    outcome: fromArray(device, Float32Array.of(1, factor), [2]),
    rates: equalRates(device, parameters.length),
  };
}

/** Five steps with other gradients each, by the kernel and by its reference. */
export async function fiveSteps<T extends UpdateTensors>(
  tensors: T,
  run: (step: number) => void,
  reference: (gradients: Float64Array, step: number) => void,
  { scale = 1, factor = 1 } = {},
): Promise<void> {
  for (let step = 1; step <= 5; step++) {
    const gradients = randomValues(tensors.parameters.size, 10 + step, scale);
    tensors.gradients.write(Float32Array.from(gradients));
    run(step);
    reference(
      gradients.map((g) => factor * g),
      step,
    );
  }
}

/** Whether a step of factor 0 with gradients of NaN leaves all of these tensors as they are. */
export async function leavesAlone(
  tensors: UpdateTensors,
  kept: readonly Tensor[],
  run: () => void,
): Promise<boolean> {
  tensors.outcome.write(Float32Array.of(Number.NaN, 0));
  tensors.gradients.write(new Float32Array(tensors.gradients.size).fill(Number.NaN));
  const read = () => Promise.all([tensors.parameters, ...kept].map((tensor) => tensor.readBytes()));
  const before = await read();
  run();
  const after = await read();
  return before.every((bytes, i) => bytes.every((byte, at) => byte === after[i]?.[at]));
}
