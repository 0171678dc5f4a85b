import { fail } from "../../util/fail.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { DIRECTIONS, type Layers } from "./prompt-network.ts";

// The same layers on the host: what a file has is computed from the values that it would have had, device or none.

/** Layers on the host; sums in f64. */
export function hostLayers(tensors: Readonly<Record<string, HostTensor>>): Layers<HostTensor> {
  const tensor = (name: string) => tensors[name] ?? fail("prompt", `${name} is missing`);
  return {
    tensor,
    dense: (name, x) => dense(x, tensor(`${name}.weight`), tensor(`${name}.bias`)),
    activate: (x, activation) => ({
      ...x,
      data: x.data.map(activation === "relu" ? (value) => Math.max(0, value) : Math.tanh),
    }),
    lstm(name, x, layers) {
      let y = x;
      for (let layer = 0; layer < layers; layer++) {
        const input = y;
        const ways = DIRECTIONS.map((direction, way) => {
          return oneWay(input, way === 1, (kind) => tensor(`${name}.${kind}_l${layer}${direction}`));
        });
        y = sideBySide(ways);
      }
      return y;
    },
  };
}

/** x Wᵀ + b of x `[n, in]`: `[n, out]`. */
function dense(
  { data: x, shape: [rows = 0, inputs = 0] }: HostTensor,
  weight: HostTensor,
  bias: HostTensor,
): HostTensor {
  const [outputs = 0] = weight.shape;
  const data = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let out = 0; out < outputs; out++) {
      let sum = bias.data[out] as number;
      for (let i = 0; i < inputs; i++)
        sum += (x[row * inputs + i] as number) * (weight.data[out * inputs + i] as number);
      data[row * outputs + out] = sum;
    }
  }
  return { shape: [rows, outputs], data };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The states of one direction of a layer, `[n, hidden]`; gates lie as PyTorch has them: input, forget, cell, output. */
function oneWay(x: HostTensor, isReverse: boolean, own: (kind: string) => HostTensor): HostTensor {
  const [rows = 0] = x.shape;
  const [, hidden = 0] = own("weight_hh").shape;
  const inputs = dense(x, own("weight_ih"), own("bias_ih"));
  const data = new Float32Array(rows * hidden);
  const cell = new Float32Array(hidden);
  let state: HostTensor = { shape: [1, hidden], data: new Float32Array(hidden) };
  for (let step = 0; step < rows; step++) {
    const at = isReverse ? rows - 1 - step : step;
    const held = dense(state, own("weight_hh"), own("bias_hh"));
    const gate = (kind: number, i: number) => {
      const place = kind * hidden + i;
      return (inputs.data[4 * hidden * at + place] as number) + (held.data[place] as number);
    };
    for (let i = 0; i < hidden; i++) {
      const kept = sigmoid(gate(1, i)) * (cell[i] as number);
      cell[i] = kept + sigmoid(gate(0, i)) * Math.tanh(gate(2, i));
      data[at * hidden + i] = sigmoid(gate(3, i)) * Math.tanh(cell[i] as number);
    }
    state = { ...state, data: data.slice(at * hidden, (at + 1) * hidden) };
  }
  return { shape: [rows, hidden], data };
}

/** Matrices `[n, columns]` of one size beside each other. */
function sideBySide(parts: readonly HostTensor[]): HostTensor {
  const [rows = 0, columns = 0] = parts[0]?.shape ?? [];
  const width = parts.length * columns;
  const data = new Float32Array(rows * width);
  for (const [place, part] of parts.entries()) {
    for (let row = 0; row < rows; row++)
      data.set(part.data.subarray(row * columns, (row + 1) * columns), row * width + place * columns);
  }
  return { shape: [rows, width], data };
}
