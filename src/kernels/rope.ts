import shader from "../../shaders/rope.wgsl";
import type { Device } from "../gpu/device.ts";
import { emptyLike, fromArray, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";
import { emptyPair } from "./regions.ts";
import { type RopeOptions, ropeAmplitude, ropeFrequencies } from "./rope-frequencies.ts";
import { storedAs } from "./stored.ts";

/** Cosines and sines, each `[length, rotaryDim / 2]`, row-major. */
export interface RopeTable {
  cos: Float32Array<ArrayBuffer>;
  sin: Float32Array<ArrayBuffer>;
  /** Number of positions. */
  length: number;
}

/**
 * The table for positions 0 … length − 1. Angles are f64: an f32 angle at position 8191 is wrong by up to 5e-4.
 * @param sequenceLength what decides the frequencies where they depend on it; `length` unless given
 */
export function ropeTable({
  length,
  sequenceLength = length,
  ...options
}: RopeOptions & { length: number; sequenceLength?: number }): RopeTable {
  const frequencies = ropeFrequencies(options, sequenceLength);
  const amplitude = ropeAmplitude(options);
  const half = frequencies.length;
  const cos = new Float32Array(length * half);
  const sin = new Float32Array(length * half);
  for (let i = 0; i < cos.length; i++) {
    const angle = Math.floor(i / half) * (frequencies[i % half] as number);
    cos[i] = amplitude * Math.cos(angle);
    sin[i] = amplitude * Math.sin(angle);
  }
  return { cos, sin, length };
}

/** A {@link RopeTable} on the device: two tensors `[length, rotaryDim / 2]`. */
export interface RopeTensors {
  cos: Tensor;
  sin: Tensor;
}

/** Uploads a table. */
export function uploadRopeTable(device: Device, { cos, sin, length }: RopeTable): RopeTensors {
  const shape = [length, cos.length / length];
  return { cos: fromArray(device, cos, shape), sin: fromArray(device, sin, shape) };
}

/**
 * Rotates the pairs (i, i + rotaryDim/2) of every head by its token's angles: Hugging Face's `rotate_half`.
 * @param x `[batch, tokens, heads, headDim]` f32
 * @param positions of the tokens, u32 `[batch, tokens]`: rows of the table
 * @returns a new tensor like x.
 */
export function rope(x: Tensor, table: RopeTensors, positions: Tensor): Tensor {
  return rotate(x, table, positions, 1, undefined);
}

/** dL/dx: the rotation by the opposite angles, added to `into` where given. */
export function ropeBackward(dy: Tensor, table: RopeTensors, positions: Tensor, into?: Tensor): Tensor {
  return rotate(dy, table, positions, -1, into);
}

/** {@link rope} of queries and keys in one dispatch: tensors that differ in their number of heads only. */
export function ropePair(
  q: Tensor,
  k: Tensor,
  table: RopeTensors,
  positions: Tensor,
): [q: Tensor, k: Tensor] {
  return rotatePair(q, k, table, positions, 1);
}

/** The gradients of {@link ropePair}. */
export function ropePairBackward(
  dq: Tensor,
  dk: Tensor,
  table: RopeTensors,
  positions: Tensor,
): [dq: Tensor, dk: Tensor] {
  return rotatePair(dq, dk, table, positions, -1);
}

function rotatePair(
  x: Tensor,
  x2: Tensor,
  table: RopeTensors,
  positions: Tensor,
  direction: number,
): [Tensor, Tensor] {
  const [first, second] = [settings(x, table, positions), settings(x2, table, positions)];
  if (x.columns !== x2.columns)
    fail("ropePair", `q [${x.shape}] and k [${x2.shape}] differ in more than their heads`);
  const { count, heads, slots, half, cols } = first.params;
  // Gradients in one buffer, so that the kernels behind them need fewer bindings.
  const [y, y2] = direction < 0 ? emptyPair(x, x.shape, x2.shape) : [emptyLike(x), emptyLike(x2)];
  x.device.run(shader, "forward_pair", {
    bind: { x, x2, cosines: table.cos, sines: table.sin, positions, y, y2 },
    params: {
      count,
      count2: second.params.count,
      heads,
      heads2: second.params.heads,
      slots,
      half,
      cols,
      direction,
    },
    constants: { ...first.constants, ...storedAs("rope", first.constants.elem, [x, x2]) },
    grid: first.grid[0] > second.grid[0] ? first.grid : second.grid,
  });
  return [y, y2];
}

function rotate(
  x: Tensor,
  table: RopeTensors,
  positions: Tensor,
  direction: number,
  into: Tensor | undefined,
): Tensor {
  const { params, constants, grid } = settings(x, table, positions);
  const y = into ?? emptyLike(x);
  x.device.run(shader, "forward", {
    bind: { x, cosines: table.cos, sines: table.sin, positions, y },
    params: { ...params, direction },
    constants: {
      ...constants,
      ACCUMULATE: into !== undefined,
      ...storedAs("rope", constants.elem, [x, y]),
    },
    grid,
  });
  return y;
}

function settings(x: Tensor, { cos }: RopeTensors, positions: Tensor) {
  const [, , heads = 0, cols = 0] = x.shape;
  checkShapes(x, cos, positions);
  const slots = cols - cos.columns; // one for each pair, one for each element that is not rotated
  const vectorizable = cos.columns % 4 === 0 ? cols : 1;
  const { width, count, elem, WG, grid } = perElement(x.device, x.rows * slots, vectorizable);
  const [half, length] = [cos.columns / width, cols / width];
  const params = { count, count2: 0, heads, heads2: 0, slots: slots / width, half, cols: length };
  return { params, constants: { elem, WG }, grid };
}

function checkShapes(x: Tensor, cos: Tensor, positions: Tensor): void {
  const [batch = 0, tokens = 0] = x.shape;
  if (x.shape.length !== 4) fail("rope", `x is [${x.shape}], expected [batch, tokens, heads, headDim]`);
  if (2 * cos.columns > x.columns)
    fail("rope", `the table rotates ${2 * cos.columns} of ${x.columns} dimensions`);
  if (positions.dtype !== "u32" || positions.size !== batch * tokens) {
    const got = `positions is ${positions.dtype} [${positions.shape}]`;
    fail("rope", `${got}, expected u32 [${batch}, ${tokens}]`);
  }
}
