import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import type { Activation } from "../src/kernels/activations.ts";
import { gatedActivation, gatedActivationBackward } from "../src/kernels/gated-activation.ts";
import { gatedActivationReference } from "../test/reference/gated-activation.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

interface Size {
  tokens: number;
  cols: number;
}

const label = ({ tokens, cols }: Size) => `T${tokens} N${cols}`;

/** gate, up and dy of one MLP. */
function inputs(device: Device, { tokens, cols }: Size) {
  const [gate, up, dy] = [1, 2, 3].map((seed) => {
    const values = repeatedValues(tokens * cols, seed);
    return { values, tensor: fromArray(device, values, [tokens, cols]) };
  });
  return { gate: gate!, up: up!, dy: dy! };
}

function forward(size: Size, activation: Activation): BenchCase {
  const count = size.tokens * size.cols;
  return sized(`gated-activation ${activation} forward`, label(size), count, (device) => {
    const { gate, up } = inputs(device, size);
    return {
      run: () => gatedActivation(gate.tensor, up.tensor, activation),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return {
          at,
          values: gatedActivationReference(pick(gate.values, at), pick(up.values, at), activation),
        };
      },
      flops: 6 * count,
      bytes: 12 * count,
    };
  });
}

function backward(size: Size, activation: Activation): BenchCase {
  const count = size.tokens * size.cols;
  return sized(`gated-activation ${activation} backward`, label(size), count, (device) => {
    const { gate, up, dy } = inputs(device, size);
    const saved = { gate: gate.tensor, up: up.tensor, activation };
    return {
      run: () => {
        const { dgate, dup } = gatedActivationBackward(dy.tensor, saved);
        return [dgate, dup];
      },
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        const [g, u, d] = [pick(gate.values, at), pick(up.values, at), pick(dy.values, at)];
        const [dgate, dup] = differences(g, u, d, activation);
        return [
          { at, values: dgate },
          { at, values: dup },
        ];
      },
      flops: 12 * count,
      bytes: 20 * count,
    };
  });
}

/** Elements are independent, so one central difference serves all of them at once; y is linear in up. */
function differences(gate: Float64Array, up: Float64Array, dy: Float64Array, activation: Activation) {
  const at = (shift: number) =>
    gatedActivationReference(
      gate.map((g) => g + shift),
      up,
      activation,
    );
  const [above, below] = [at(1e-5), at(-1e-5)];
  const slopes = gatedActivationReference(
    gate,
    up.map(() => 1),
    activation,
  );
  return [
    dy.map((d, i) => (d * (above[i]! - below[i]!)) / 2e-5),
    dy.map((d, i) => d * (slopes[i] as number)),
  ] as const;
}

const sizes = [
  ...modelsAndTokens().map(({ model, tokens }): Size => ({ tokens, cols: model.intermediate })),
  { tokens: 4096, cols: 1024 }, // 16 MB
];

export const cases: BenchCase[] = [
  ...sizes.flatMap((size) => [forward(size, "silu"), backward(size, "silu")]),
  ...sizes.slice(0, 2).flatMap((size) => [forward(size, "gelu_tanh"), backward(size, "gelu_tanh")]),
];
