import { byteView } from "../util/bytes.ts";
import { fail } from "../util/fail.ts";
import type { Device } from "./device.ts";
import type { Region } from "./kernel.ts";
import type { Allocation } from "./memory.ts";

/** Element types on the GPU. bf16 and f16 are storage formats of frozen weights: two values in a 32-bit word. */
export type DType = "f32" | "i32" | "u32" | "bf16" | "f16";

const BYTES: Readonly<Record<DType, number>> = { f32: 4, i32: 4, u32: 4, bf16: 2, f16: 2 };

/** Host arrays that correspond to a dtype; 16-bit floats travel as their bit patterns. */
export type HostArray = Float32Array | Int32Array | Uint32Array | Uint16Array;

/** Product of the dimensions. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** Bytes of a dense tensor. */
export function byteCount(shape: readonly number[], dtype: DType): number {
  return elementCount(shape) * BYTES[dtype];
}

/** A dense, row-major array in GPU memory: no strides, no host copy. */
export class Tensor implements Region {
  /** Whose memory it is in. */
  readonly device: Device;
  /** Sizes of the axes, the last one contiguous; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** Type of the elements. */
  readonly dtype: DType;
  /** The buffer, which several tensors may share. */
  readonly storage: Allocation;
  /** Where the first element lies in the buffer. */
  readonly byteOffset: number;
  /** The tensor that this one is another shape of (itself for any other): what gradients are kept for. */
  readonly source: Tensor;
  /** The tensor that this one is a slice of: no gradient finds its way through a slice. */
  readonly whole: Tensor | undefined;
  /** Number of elements. */
  readonly size: number;
  /** Bytes of the elements, without padding. */
  readonly byteLength: number;

  constructor(
    device: Device,
    storage: Allocation,
    shape: readonly number[],
    dtype: DType = "f32",
    byteOffset = 0,
    source?: Tensor,
    whole?: Tensor,
  ) {
    this.device = device;
    this.storage = storage;
    this.shape = shape;
    this.dtype = dtype;
    this.byteOffset = byteOffset;
    this.source = source ?? this;
    this.whole = whole;
    this.size = elementCount(shape); // once: every dispatch asks several times
    this.byteLength = this.size * BYTES[dtype];
  }

  /** Size of the last axis. */
  get columns(): number {
    return this.shape.at(-1) ?? 1;
  }

  /** The same as `dtype`: a matrix of floats is a weight without scales, see kernels/weight.ts. */
  get format(): DType {
    return this.dtype;
  }

  /** Itself. */
  get words(): Tensor {
    return this;
  }

  /** Product of all axes but the last. */
  get rows(): number {
    return this.size / this.columns;
  }

  /** The same memory under another shape of equal size. */
  reshape(shape: readonly number[]): Tensor {
    if (elementCount(shape) !== this.size)
      fail("reshape", `[${this.shape}] has another size than [${shape}]`);
    return new Tensor(this.device, this.storage, shape, this.dtype, this.byteOffset, this.source);
  }

  /** Rows [start, end) of the first axis as a view, for kernels; the first row must be aligned for binding. */
  slice(start: number, end: number): Tensor {
    const rowBytes = this.byteLength / (this.shape[0] ?? 1);
    const shape = [end - start, ...this.shape.slice(1)];
    const byteOffset = this.byteOffset + start * rowBytes;
    return new Tensor(this.device, this.storage, shape, this.dtype, byteOffset, undefined, this.source);
  }

  /** Replaces the content. */
  write(data: HostArray | Uint8Array): void {
    if (data.byteLength !== this.byteLength) {
      fail(
        "Tensor.write",
        `got ${data.byteLength} bytes for [${this.shape}] ${this.dtype}, wanted ${this.byteLength}`,
      );
    }
    this.device.stream.write(this.storage, this.byteOffset, paddedBytes(data));
  }

  /** Copies the content of a tensor of equal size and dtype, on the device. */
  copyFrom(source: Tensor): void {
    this.device.stream.copy(
      source.storage,
      source.byteOffset,
      this.storage,
      this.byteOffset,
      padded(this.byteLength),
    );
  }

  /** Reads all bytes back. Submits and waits for the device. */
  async readBytes(): Promise<Uint8Array<ArrayBuffer>> {
    const [bytes] = await readTogether([this]);
    return bytes as Uint8Array<ArrayBuffer>;
  }

  /** Reads an f32 tensor. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    if (this.dtype !== "f32") fail("Tensor.read", `this tensor is ${this.dtype}, not f32`, "use readBytes");
    return new Float32Array((await this.readBytes()).buffer);
  }

  /** Reads an i32 or u32 tensor. */
  async readIntegers(): Promise<Int32Array<ArrayBuffer>> {
    return new Int32Array((await this.readBytes()).buffer);
  }
}

/** The bytes of several tensors of one device, with one submission and one wait for all. */
async function readTogether(tensors: readonly Tensor[]): Promise<Uint8Array<ArrayBuffer>[]> {
  const [first] = tensors;
  if (!first) return [];
  const { device } = first;
  const starts: number[] = [];
  let size = 0;
  for (const { byteLength } of tensors) {
    starts.push(size);
    size += padded(byteLength);
  }
  const staging = device.gpu.createBuffer({ size, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
  try {
    tensors.forEach(({ storage, byteOffset, byteLength }, i) => {
      device.stream.copy(storage, byteOffset, staging, starts[i] as number, padded(byteLength));
    });
    device.stream.flush();
    await device.check();
    await device.waitFor(staging.mapAsync(0x1)); // GPUMapMode.READ
    device.stream.noteIdle();
    await device.check();
    const all = staging.getMappedRange();
    return tensors.map(({ byteLength }, i) => {
      const start = starts[i] as number;
      return new Uint8Array(all.slice(start, start + byteLength));
    });
  } catch (error) {
    return await device.explain(error);
  } finally {
    staging.destroy();
  }
}

/** An uninitialised tensor. It lives as long as the innermost scope, or until its owner releases it. */
export function empty(device: Device, shape: readonly number[], dtype: DType = "f32"): Tensor {
  return new Tensor(device, device.memory.allocate(padded(byteCount(shape, dtype))), shape, dtype);
}

/** An uninitialised tensor of the same type of elements, and of the same shape unless another is given. */
export function emptyLike({ device, shape, dtype }: Tensor, other: readonly number[] = shape): Tensor {
  return empty(device, other, dtype);
}

/** A tensor with the given content. */
export function fromArray(
  device: Device,
  data: HostArray,
  shape: readonly number[],
  dtype: DType = dtypeOf(data),
): Tensor {
  const tensor = empty(device, shape, dtype);
  tensor.write(data);
  return tensor;
}

function dtypeOf(data: HostArray): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  return fail("fromArray", "16-bit data can be f16 or bf16", "name the dtype");
}

/** Runs `body`; its GPU allocations die at the end except those of the returned tensors. */
export function scoped<T extends Tensor | readonly Tensor[] | undefined>(device: Device, body: () => T): T {
  const scope = device.memory.beginScope();
  let result: T | undefined;
  try {
    result = body();
    return result;
  } finally {
    const kept =
      result === undefined ? [] : result instanceof Tensor ? [result] : (result as readonly Tensor[]);
    device.memory.endScope(
      scope,
      kept.map((tensor) => tensor.storage),
    );
  }
}

/**
 * Computes tensors and reads them, in their order; their memory is free again at once, also where that fails. The copy
 * to the host is recorded before the scope ends.
 */
export async function readAndRelease(
  device: Device,
  compute: () => readonly Tensor[],
): Promise<ArrayBuffer[]> {
  let reading: Promise<Uint8Array<ArrayBuffer>[]> | undefined;
  scoped(device, () => {
    reading = readTogether(compute());
    return undefined;
  });
  return ((await reading) ?? []).map(({ buffer }) => buffer);
}

const padded = (bytes: number) => Math.ceil(bytes / 4) * 4;

/** queue.writeBuffer takes multiples of 4 bytes. */
function paddedBytes(data: HostArray | Uint8Array): Uint8Array {
  const bytes = byteView(data);
  if (bytes.length % 4 === 0) return bytes;
  const copy = new Uint8Array(padded(bytes.length));
  copy.set(bytes);
  return copy;
}
