import { fromArray, type Tensor } from "../src/gpu/tensor.ts";
import { gatedActivation, gatedActivationBackward } from "../src/kernels/gated-activation.ts";
import { gatedActivationReference } from "../test/reference/gated-activation.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

/** gate, up and dy of one MLP. */
const inputs = (size: number) =>
  [randomValues(size, 1), randomValues(size, 2), randomValues(size, 3)] as const;

function forward(size: number): BenchCase {
  return {
    name: `gated-activation silu forward ${size}`,
    setup(device) {
      const [gate, up] = inputs(size);
      const [G, U] = [gate, up].map((values) => fromArray(device, Float32Array.from(values), [size]));
      return {
        run: () => gatedActivation(G!, U!),
        reference: () => gatedActivationReference(gate, up, "silu"),
        bytes: 12 * size,
      };
    },
  };
}

function backward(size: number): BenchCase {
  return {
    name: `gated-activation silu backward ${size}`,
    setup(device) {
      const [gate, up, dy] = inputs(size);
      const [G, U, dY] = [gate, up, dy].map((values) => fromArray(device, Float32Array.from(values), [size]));
      const saved = { gate: G as Tensor, up: U as Tensor };
      return {
        run: () => gatedActivationBackward(dY!, saved).dgate,
        reference: () => gateDifferences(gate, up, dy),
        bytes: 20 * size,
      };
    },
  };
}

/** Elements are independent, so one difference serves all of them at once. */
function gateDifferences(gate: Float64Array, up: Float64Array, dy: Float64Array): Float64Array {
  const at = (shift: number) =>
    gatedActivationReference(
      gate.map((g) => g + shift),
      up,
      "silu",
    );
  const [above, below] = [at(1e-5), at(-1e-5)];
  return dy.map((d, i) => (d * (above[i]! - below[i]!)) / 2e-5);
}

export const cases: BenchCase[] = [forward(128 * 1536), forward(2 ** 22), backward(128 * 1536)];
