import * as encoderOps from "../../autograd/encoder-ops.ts";
import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import { empty, fromArray, type Tensor } from "../../gpu/tensor.ts";
import { fill, zeros } from "../../kernels/elementwise.ts";
import { fail } from "../../util/fail.ts";
import type { Random } from "../../util/random.ts";
import { normal } from "../lora/initial/normal.ts";
import type { SiteTensors, TensorPlan, TensorPlans } from "../method.ts";

// Networks that virtual tokens are computed by while they are trained; their layers are PyTorch's, with its names and beginnings.

/** Values of U(−bound, bound). */
const uniform = (shape: readonly number[], bound: number): TensorPlan => ({
  shape,
  begin: (random: Random) =>
    Float32Array.from({ length: shape.reduce((size, axis) => size * axis, 1) }, () => {
      return bound * (2 * random.uniform() - 1);
    }),
});

/** `nn.Embedding`. */
export const embeddingPlan = (rows: number, columns: number): TensorPlan => ({
  shape: [rows, columns],
  begin: normal(rows * columns, 1),
});

/** `nn.Linear`. */
export function densePlans(name: string, inputs: number, outputs: number): TensorPlans {
  const bound = 1 / Math.sqrt(inputs);
  return {
    [`${name}.weight`]: uniform([outputs, inputs], bound),
    [`${name}.bias`]: uniform([outputs], bound),
  };
}

/** The layers of a network by the names of their tensors: on the device, where it is trained, or on the host, where it is saved. */
export interface Layers<T> {
  /** A tensor as it is. */
  tensor(name: string): T;
  /** x Wᵀ + b. */
  dense(name: string, x: T): T;
  activate(x: T, activation: "relu" | "tanh"): T;
  /** What a bidirectional LSTM gives of a sequence x `[n, inputs]`: `[n, 2 · hidden]`, of each place what both directions say of it. */
  lstm(name: string, x: T, layers: number): T;
}

/** Layers on the device. */
export function deviceLayers(tape: Tape | undefined, tensors: SiteTensors): Layers<Tensor> {
  const tensor = (name: string) => tensors[name] ?? fail("prompt", `${name} is missing`);
  return {
    tensor,
    dense: (name, x) => ops.linear(tape, x, tensor(`${name}.weight`), { bias: tensor(`${name}.bias`) }),
    activate: (x, activation) => encoderOps.activate(tape, x, activation),
    lstm: (name, x, layers) => lstm(tape, (kind) => tensor(`${name}.${kind}`), x, layers),
  };
}

/** Sizes of {@link lstm}. */
export interface LstmSizes {
  readonly inputs: number;
  readonly hidden: number;
  readonly layers: number;
}

/** The two directions of a layer, by the ends of their tensors' names. */
export const DIRECTIONS = ["", "_reverse"] as const;

/** A bidirectional `nn.LSTM`. */
export function lstmPlans(name: string, { inputs, hidden, layers }: LstmSizes): TensorPlans {
  const bound = 1 / Math.sqrt(hidden);
  const plans = Array.from({ length: layers }, (_, layer) =>
    DIRECTIONS.flatMap((direction): [string, TensorPlan][] => {
      const end = `l${layer}${direction}`;
      return [
        [`${name}.weight_ih_${end}`, uniform([4 * hidden, layer === 0 ? inputs : 2 * hidden], bound)],
        [`${name}.weight_hh_${end}`, uniform([4 * hidden, hidden], bound)],
        [`${name}.bias_ih_${end}`, uniform([4 * hidden], bound)],
        [`${name}.bias_hh_${end}`, uniform([4 * hidden], bound)],
      ];
    }),
  );
  return Object.fromEntries(plans.flat());
}

function lstm(tape: Tape | undefined, tensor: (kind: string) => Tensor, x: Tensor, layers: number): Tensor {
  let y = x;
  for (let layer = 0; layer < layers; layer++) {
    const input = y;
    const parts = DIRECTIONS.flatMap((direction, way) => {
      const own = (kind: string) => tensor(`${kind}_l${layer}${direction}`);
      return oneWay(tape, input, { own, way });
    });
    y = ops.joinRows(tape, parts, 2 * x.rows).reshape([x.rows, 2 * tensor("weight_hh_l0").columns]);
  }
  return y;
}

interface Way {
  /** A tensor of the layer and direction. */
  own(kind: string): Tensor;
  /** 0: from the first place on; 1: from the last one back. */
  readonly way: number;
}

/** The states of one direction, `[1, hidden]` each, at their rows of `[2 n, hidden]`. */
function oneWay(tape: Tape | undefined, x: Tensor, { own, way }: Way): { x: Tensor; index: Tensor }[] {
  const { device, rows } = x;
  const hidden = own("weight_hh").columns;
  const inputs = ops.linear(tape, x, own("weight_ih"), { bias: own("bias_ih") });
  const index = (at: number) => fromArray(device, Uint32Array.of(at), [1]);
  const half = fill(empty(device, [4 * hidden]), 0.5);
  let state = zeros(device, [1, hidden]);
  let cell = zeros(device, [1, hidden]);
  return Array.from({ length: rows }, (_, step) => {
    const at = way === 0 ? step : rows - 1 - step;
    const gates = ops.add(
      tape,
      ops.gatherRows(tape, inputs, index(at)),
      ops.linear(tape, state, own("weight_hh"), { bias: own("bias_hh") }),
    );
    // σ(x) = (1 + tanh(x / 2)) / 2
    const open = ops.addBias(
      tape,
      ops.scale(tape, encoderOps.activate(tape, ops.scale(tape, gates, 0.5), "tanh"), 0.5),
      half,
    );
    const part = (of: Tensor, i: number) => ops.sliceColumns(tape, of, i * hidden, (i + 1) * hidden);
    const [input, forget, output] = [part(open, 0), part(open, 1), part(open, 3)];
    const news = encoderOps.activate(tape, part(gates, 2), "tanh");
    // Of a single row the factors of the columns are a product of elements.
    cell = ops.add(tape, ops.scaleColumns(tape, cell, forget), ops.scaleColumns(tape, news, input));
    state = ops.scaleColumns(tape, encoderOps.activate(tape, cell, "tanh"), output);
    return { x: state, index: index(2 * at + way) };
  });
}
