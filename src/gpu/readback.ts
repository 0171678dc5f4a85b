import type { Device } from "./device.ts";
import type { Tensor } from "./tensor.ts";

/** A result on its way to the host. */
export interface Reading {
  /** Resolves when it is there; rejects, as {@link Device.check} does, where the device failed. */
  readonly arrived: Promise<Float32Array>;
  /** Waits for it, in the platform's way. */
  wait(): Promise<Float32Array>;
}

/**
 * Small f32 results that the host reads while the device goes on with what was recorded after them: buffers that take turns,
 * so that a reading makes none.
 */
export class Readback {
  readonly #device: Device;
  readonly #free: GPUBuffer[];
  readonly #all: readonly GPUBuffer[];

  /**
   * @param floats most that are read at a time
   * @param readings most that may be on their way
   */
  constructor(device: Device, floats: number, readings: number) {
    const make = () => device.gpu.createBuffer({ size: 4 * floats, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
    this.#device = device;
    this.#all = Array.from({ length: readings }, make);
    this.#free = [...this.#all];
  }

  /** Records copies of the tensors as they will be then, and submits all that is recorded. */
  read(tensors: readonly Tensor[]): Reading {
    const buffer = this.#free.shift();
    if (!buffer) throw new Error("readback: every buffer is on its way; this is a bug in the engine");
    const { stream } = this.#device;
    let bytes = 0;
    for (const { storage, byteOffset, byteLength } of tensors) {
      stream.copy(storage, byteOffset, buffer, bytes, byteLength);
      bytes += byteLength;
    }
    stream.flush();
    const arrived = this.#arrive(buffer, bytes);
    arrived.catch(() => {}); // whoever waits is told
    return { arrived, wait: () => this.#device.waitFor(arrived) };
  }

  /** Frees the buffers: what is on its way does not arrive. */
  release(): void {
    for (const buffer of this.#all) buffer.destroy();
  }

  async #arrive(buffer: GPUBuffer, bytes: number): Promise<Float32Array> {
    const mapped = buffer.mapAsync(0x1, 0, bytes); // GPUMapMode.READ
    mapped.catch(() => {}); // the check says why
    await this.#device.check();
    try {
      await mapped;
      await this.#device.check();
      const values = new Float32Array(buffer.getMappedRange(0, bytes).slice(0));
      buffer.unmap();
      this.#free.push(buffer);
      return values;
    } catch (error) {
      return this.#device.explain(error);
    }
  }
}
