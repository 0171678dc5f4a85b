import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { activate, activateBackward } from "../src/kernels/activation.ts";
import { activationReference } from "../test/reference/activation.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread } from "./harness.ts";

function input(device: Device, count: number, seed: number) {
  const values = repeatedValues(count, seed);
  return { values, tensor: fromArray(device, values, [count]) };
}

function forward(tokens: number, cols: number): BenchCase {
  const count = tokens * cols;
  return sized("activation gelu forward", `T${tokens} N${cols}`, count, (device) => {
    const x = input(device, count, 1);
    return {
      run: () => activate(x.tensor, "gelu"),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: activationReference(pick(x.values, at), "gelu") };
      },
      bytes: 8 * count,
    };
  });
}

function backward(tokens: number, cols: number): BenchCase {
  const count = tokens * cols;
  return sized("activation gelu backward", `T${tokens} N${cols}`, count, (device) => {
    const [x, dy] = [input(device, count, 1), input(device, count, 2)];
    return {
      run: () => activateBackward(dy.tensor, { x: x.tensor, activation: "gelu" }),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: differences(pick(x.values, at), pick(dy.values, at)) };
      },
      bytes: 12 * count,
    };
  });
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

/** BERT-base's and BERT-large's MLP, and 16 MB. */
const SIZES = [
  [128, 3072],
  [512, 4096],
  [4096, 1024],
] as const;

export const cases: BenchCase[] = SIZES.flatMap(([tokens, cols]) => [
  forward(tokens, cols),
  backward(tokens, cols),
]);
