import type { Device } from "../gpu/device.ts";
import { empty, Tensor } from "../gpu/tensor.ts";
import { zeros } from "../kernels/elementwise.ts";

/** A trainable tensor by its name in the saved file. */
export interface Parameter {
  name: string;
  tensor: Tensor;
}

/**
 * Trainable tensors that lie one after another in a single buffer, so that one dispatch can update them all.
 * The gaps between them are zero and stay so.
 */
export interface Parameters {
  /** `[n]` f32: everything. */
  readonly flat: Tensor;
  readonly entries: readonly Parameter[];
}

const ALIGNMENT = 64; // elements: 256 bytes, the binding offset alignment of the portable floor

/** Reserves one zeroed buffer for tensors of the given names and shapes; it lives until it is released. */
export function allocateParameters(
  device: Device,
  wanted: readonly { name: string; shape: readonly number[] }[],
): Parameters {
  let total = 0;
  const offsets = wanted.map(({ shape }) => {
    const offset = total;
    total += Math.ceil(shape.reduce((a, b) => a * b, 1) / ALIGNMENT) * ALIGNMENT;
    return offset;
  });
  const flat = device.memory.persistent(() => zeros(device, [total]));
  const entries = wanted.map(({ name, shape }, i) => ({
    name,
    tensor: new Tensor(device, flat.storage, shape, "f32", (offsets[i] as number) * 4),
  }));
  return { flat, entries };
}

/** A second buffer of the same layout, zeroed (gradients): the flat tensor, and views keyed by the parameter. */
export function allocateLike({ flat, entries }: Parameters): { flat: Tensor; views: Map<Tensor, Tensor> } {
  const { device } = flat;
  const twin = device.memory.persistent(() => zeros(device, flat.shape));
  const views = entries.map(
    ({ tensor }) =>
      [tensor, new Tensor(device, twin.storage, tensor.shape, "f32", tensor.byteOffset)] as const,
  );
  return { flat: twin, views: new Map(views) };
}

/** Copies all parameters to the host with one read. */
export async function readParameters({ flat, entries }: Parameters): Promise<Map<string, Float32Array>> {
  const all = await flat.read();
  return new Map(
    entries.map(({ name, tensor }) => {
      const start = tensor.byteOffset / 4;
      return [name, all.slice(start, start + tensor.size)];
    }),
  );
}

/** An uninitialised tensor outside every scope. */
export function persistent(device: Device, shape: readonly number[]): Tensor {
  return device.memory.persistent(() => empty(device, shape));
}
