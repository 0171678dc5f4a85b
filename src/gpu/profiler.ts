/** Time of all dispatches of one kernel. */
export interface KernelTime {
  /** Shader and entry point. */
  name: string;
  dispatches: number;
  /** Total time on the device, ms. */
  milliseconds: number;
}

const CAPACITY = 4096; // timestamps in a query set; WebGPU allows no more

/**
 * Times single dispatches with timestamp queries: while one is set on a stream, every dispatch gets its own pass.
 * Needs the feature `timestamp-query`. Dawn rounds to 65 µs unless `timestamp_quantization` is off (as in Node here).
 */
export class Profiler {
  readonly #gpu: GPUDevice;
  readonly #queries: GPUQuerySet;
  #names: string[] = [];

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.#queries = gpu.createQuerySet({ type: "timestamp", count: CAPACITY });
  }

  /** Where the pass of the next dispatch writes its times, or undefined where the set is full. */
  next(name: string): GPUComputePassTimestampWrites | undefined {
    const first = this.#names.length * 2;
    if (first + 2 > CAPACITY) return undefined;
    this.#names.push(name);
    return { querySet: this.#queries, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
  }

  /** Reads the times of the dispatches since the last call, longest first. Call it after the stream has been flushed. */
  async read(): Promise<KernelTime[]> {
    const names = this.#names;
    this.#names = [];
    const times = await this.#resolve(names.length * 2);
    const totals = new Map<string, KernelTime>();
    for (const [i, name] of names.entries()) {
      const total = totals.get(name) ?? { name, dispatches: 0, milliseconds: 0 };
      total.dispatches++;
      total.milliseconds += Number((times[2 * i + 1] ?? 0n) - (times[2 * i] ?? 0n)) / 1e6;
      totals.set(name, total);
    }
    return [...totals.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  async #resolve(count: number): Promise<BigUint64Array> {
    if (count === 0) return new BigUint64Array();
    const size = count * 8;
    const resolved = this.#gpu.createBuffer({ size, usage: 0x200 | 0x4 }); // QUERY_RESOLVE | COPY_SRC
    const staging = this.#gpu.createBuffer({ size, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
    const encoder = this.#gpu.createCommandEncoder();
    encoder.resolveQuerySet(this.#queries, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    this.#gpu.queue.submit([encoder.finish()]);
    await staging.mapAsync(0x1);
    const times = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const buffer of [resolved, staging]) buffer.destroy();
    return times;
  }
}
