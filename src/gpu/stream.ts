import type { Allocation } from "./memory.ts";
import type { Profiler } from "./profiler.ts";

/** Submissions aim at this duration, so that no driver watchdog fires and the machine stays responsive. */
const TARGET_MS = 100;
/** Recording this many takes longer than submitting them, and the device can begin while the rest is recorded. */
const MAX_DISPATCHES = 256;
/** Uploads up to this many bytes may be staged. */
const MAX_STAGED = 65_536;

/**
 * One command encoder with one open compute pass. Dispatches are recorded and submitted in batches whose
 * size follows the measured duration of earlier ones.
 */
export class Stream {
  /** Number of submissions so far. */
  submits = 0;
  /** Number of dispatches recorded so far. */
  dispatches = 0;
  /** While set, every dispatch is timed in a pass of its own. */
  profiler: Profiler | undefined;
  readonly #gpu: GPUDevice;
  /** An array for the call that binds parameters: making one each time takes as long as the call. */
  readonly #offset = new Uint32Array(1);
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** What the open pass has set: setting it again is a call into the driver's library, too. */
  #pipeline: GPUComputePipeline | undefined;
  /** Uploads that recorded copies read. */
  readonly #staged: GPUBuffer[] = [];
  #pending = 0;
  #batch = 64;
  /** When the last full batch was seen to be finished, ms. */
  #lastDone = 0;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /**
   * Records one dispatch of x·y·z workgroups.
   * @param params where its parameters lie, in bytes, for a pipeline that takes that with the dispatch
   */
  dispatch(
    pipeline: GPUComputePipeline,
    group: GPUBindGroup,
    x: number,
    y: number,
    z: number,
    params?: number,
  ): void {
    const timestampWrites = this.profiler?.next(pipeline.label);
    if (timestampWrites) this.#endPass();
    this.#pass ??= this.#open().beginComputePass(timestampWrites && { timestampWrites });
    if (pipeline !== this.#pipeline) this.#pass.setPipeline(pipeline);
    this.#pipeline = pipeline;
    this.#bind(this.#pass, group, params);
    this.#pass.dispatchWorkgroups(x, y, z);
    if (timestampWrites) this.#endPass();
    this.dispatches++;
    if (++this.#pending >= this.#batch) this.flush();
  }

  #bind(pass: GPUComputePassEncoder, group: GPUBindGroup, params: number | undefined): void {
    if (params === undefined) pass.setBindGroup(0, group);
    else {
      this.#offset[0] = params;
      pass.setBindGroup(0, group, this.#offset, 0, 1);
    }
  }

  /** Copies bytes between two different buffers; offsets and size are multiples of 4. */
  copy(
    from: Allocation,
    fromOffset: number,
    to: Allocation | GPUBuffer,
    toOffset: number,
    bytes: number,
  ): void {
    this.#endPass();
    const target = "buffer" in to ? to.buffer : to;
    this.#open().copyBufferToBuffer(from.buffer, fromOffset, target, toOffset, bytes);
    from.lastUse = this.submits;
    if ("buffer" in to) to.lastUse = this.submits;
    this.#pending++;
  }

  /**
   * Writes host bytes. `queue.writeBuffer` overtakes commands recorded but not yet submitted: where one of them uses the
   * buffer, a small write becomes a recorded copy, and before a large one they are submitted.
   */
  write(allocation: Allocation, offset: number, bytes: Uint8Array): void {
    const isAwaited = allocation.lastUse === this.submits;
    if (isAwaited && bytes.byteLength <= MAX_STAGED && this.#stage(allocation, offset, bytes)) return;
    if (isAwaited) this.flush();
    this.#gpu.queue.writeBuffer(allocation.buffer, offset, bytes as Uint8Array<ArrayBuffer>);
  }

  /** Records a copy of the bytes; returns false where there is no memory for that. */
  #stage(allocation: Allocation, offset: number, bytes: Uint8Array): boolean {
    const usage = 0x4; // COPY_SRC
    let staging: GPUBuffer;
    try {
      staging = this.#gpu.createBuffer({ size: bytes.byteLength, usage, mappedAtCreation: true });
    } catch {
      return false; // a RangeError: only a buffer that is mapped at once says so by throwing
    }
    new Uint8Array(staging.getMappedRange()).set(bytes);
    staging.unmap();
    this.#endPass();
    this.#open().copyBufferToBuffer(staging, 0, allocation.buffer, offset, bytes.byteLength);
    this.#staged.push(staging);
    return true;
  }

  /** Submits what is recorded. */
  flush(): void {
    if (!this.#encoder) return;
    this.#endPass();
    const commands = this.#encoder.finish();
    this.#encoder = undefined;
    const recorded = this.#pending;
    this.#pending = 0;
    this.submits++;
    this.#gpu.queue.submit([commands]);
    for (const buffer of this.#staged.splice(0)) buffer.destroy(); // takes effect after the submitted copy
    this.#adapt(recorded);
  }

  /** Submits and waits until the device has finished, uploads included. */
  async finish(): Promise<void> {
    this.flush();
    this.#gpu.queue.submit([]); // uploads alone are not sent before the next submission
    await this.#gpu.queue.onSubmittedWorkDone();
  }

  #open(): GPUCommandEncoder {
    this.#encoder ??= this.#gpu.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#pipeline = undefined;
  }

  /** Doubles or halves the batch after a full one; partial batches say little and are ignored. */
  #adapt(recorded: number): void {
    if (recorded < this.#batch) return;
    const submitted = performance.now();
    this.#gpu.queue.onSubmittedWorkDone().then(
      () => {
        const now = performance.now();
        const took = now - Math.max(submitted, this.#lastDone);
        this.#lastDone = now;
        // Far apart, so that a busy machine does not cut every step into many submissions.
        if (took > 2 * TARGET_MS) this.#batch = Math.max(8, Math.floor(this.#batch / 2));
        else if (took < TARGET_MS / 2) this.#batch = Math.min(MAX_DISPATCHES, this.#batch * 2);
      },
      () => {}, // the device is lost: reported by Device.check
    );
  }
}
