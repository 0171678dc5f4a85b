import { fromArray } from "../src/gpu/tensor.ts";
import { activate, activateBackward } from "../src/kernels/activation.ts";
import { activationReference } from "../test/reference/activation.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

function forward(size: number): BenchCase {
  return {
    name: `activation gelu forward ${size}`,
    setup(device) {
      const x = randomValues(size, 1);
      const X = fromArray(device, Float32Array.from(x), [size]);
      return {
        run: () => activate(X, "gelu"),
        reference: () => activationReference(x, "gelu"),
        bytes: 8 * size,
      };
    },
  };
}

function backward(size: number): BenchCase {
  return {
    name: `activation gelu backward ${size}`,
    setup(device) {
      const [x, dy] = [randomValues(size, 1), randomValues(size, 2)];
      const [X, dY] = [x, dy].map((values) => fromArray(device, Float32Array.from(values), [size]));
      return {
        run: () => activateBackward(dY!, { x: X!, activation: "gelu" }),
        reference: () => differences(x, dy),
        bytes: 12 * size,
      };
    },
  };
}

/** Elements are independent, so one difference serves all of them at once. */
function differences(x: Float64Array, dy: Float64Array): Float64Array {
  const at = (shift: number) =>
    activationReference(
      x.map((value) => value + shift),
      "gelu",
    );
  const [above, below] = [at(1e-5), at(-1e-5)];
  return dy.map((d, i) => (d * (above[i]! - below[i]!)) / 2e-5);
}

export const cases: BenchCase[] = [forward(128 * 3072), forward(2 ** 22), backward(128 * 3072)];
