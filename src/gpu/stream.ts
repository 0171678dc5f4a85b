import { type Allocation, forgetDerived } from "./memory.ts";
import type { Profiler } from "./profiler.ts";

/** Submissions aim at this duration, so that no driver watchdog fires and the machine stays responsive. */
const TARGET_MS = 100;
/** Recording this many takes longer than submitting them, and the device can begin while the rest is recorded. */
const MAX_DISPATCHES = 256;
/** The first submission to a device that has nothing to do; the next ones double. */
const FIRST_DISPATCHES = 16;
/** Numbers of a dispatch that waits for its pass. */
const NUMBERS = 4;
/** In place of where parameters lie: the dispatch has none of its own. */
const NOWHERE = 0xffff_ffff;
/** Uploads up to this many bytes may be staged. */
const MAX_STAGED = 65_536;

/** What is told of a pass as it is launched; see `Recording`. */
export interface LaunchNotes {
  /** Notes a launch of x·y·z workgroups. */
  add(pipeline: GPUComputePipeline, group: GPUBindGroup, x: number, y: number, z: number): void;
  /** Notes a buffer of a launch. */
  use(allocation: Allocation, writes: boolean): void;
  /** Notes that the pass does what cannot be repeated. */
  giveUp(): void;
}

/**
 * One command encoder. Dispatches are recorded and submitted in batches whose
 * size follows the measured duration of earlier ones.
 */
export class Stream {
  /** Number of submissions so far. */
  submits = 0;
  /** Number of dispatches recorded so far. */
  dispatches = 0;
  /** While set, every dispatch is timed in a pass of its own. */
  profiler: Profiler | undefined;
  /** While set, it is told of everything that is recorded here. */
  recording: LaunchNotes | undefined;
  readonly #gpu: GPUDevice;
  /** An array for the call that binds parameters: making one each time takes as long as the call. */
  readonly #offset = new Uint32Array(1);
  #encoder: GPUCommandEncoder | undefined;
  /**
   * Dispatches that are not encoded yet. All of a pass are encoded at once: the driver's code and data then stay in the
   * processor's caches, which takes a third of the time off.
   */
  readonly #pipelines: GPUComputePipeline[] = [];
  readonly #groups: GPUBindGroup[] = [];
  /** Of each its workgroups x, y and z, and where its parameters lie. */
  readonly #numbers = new Uint32Array(NUMBERS * MAX_DISPATCHES);
  /** What recorded commands read, and nobody else will. */
  readonly #leaving: (GPUBuffer | GPUTexture)[] = [];
  #pending = 0;
  #batch = 64;
  /** Dispatches of the next submission at most. */
  #ramp = MAX_DISPATCHES;
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
    params = NOWHERE,
  ): void {
    this.recording?.add(pipeline, group, x, y, z);
    const timestampWrites = this.profiler?.next(pipeline.label);
    if (timestampWrites) this.encode();
    const at = NUMBERS * this.#pipelines.length;
    this.#pipelines.push(pipeline);
    this.#groups.push(group);
    this.#numbers[at] = x;
    this.#numbers[at + 1] = y;
    this.#numbers[at + 2] = z;
    this.#numbers[at + 3] = params;
    if (timestampWrites) this.encode(timestampWrites);
    this.dispatches++;
    if (++this.#pending >= Math.min(this.#batch, this.#ramp)) {
      this.#ramp = Math.min(MAX_DISPATCHES, 2 * this.#ramp);
      this.flush();
    }
  }

  /** Says that the device has done all that was submitted: it gets the next work soon, and not after many dispatches. */
  noteIdle(): void {
    this.#ramp = FIRST_DISPATCHES;
  }

  /** Encodes the dispatches that wait, as a pass. Nobody but an observer of the encoder has to call it. */
  encode(timestampWrites?: GPUComputePassTimestampWrites): void {
    const [pipelines, groups, numbers, offset] = [this.#pipelines, this.#groups, this.#numbers, this.#offset];
    if (pipelines.length === 0) return;
    const pass = this.#open().beginComputePass(timestampWrites && { timestampWrites });
    for (let i = 0, at = 0; i < pipelines.length; i++, at += NUMBERS) {
      const pipeline = pipelines[i] as GPUComputePipeline;
      // Setting it again is a call into the driver's library, too.
      if (i === 0 || pipeline !== pipelines[i - 1]) pass.setPipeline(pipeline);
      offset[0] = numbers[at + 3] as number;
      if (offset[0] === NOWHERE) pass.setBindGroup(0, groups[i] as GPUBindGroup);
      else pass.setBindGroup(0, groups[i] as GPUBindGroup, offset, 0, 1);
      pass.dispatchWorkgroups(numbers[at] as number, numbers[at + 1], numbers[at + 2]);
    }
    pass.end();
    pipelines.length = 0;
    groups.length = 0;
  }

  /** Copies bytes between two different buffers; offsets and size are multiples of 4. */
  copy(
    from: Allocation | GPUBuffer,
    fromOffset: number,
    to: Allocation | GPUBuffer,
    toOffset: number,
    bytes: number,
  ): void {
    this.recording?.giveUp();
    this.encode();
    const source = "buffer" in from ? from.buffer : from;
    const target = "buffer" in to ? to.buffer : to;
    this.#open().copyBufferToBuffer(source, fromOffset, target, toOffset, bytes);
    if ("buffer" in from) from.lastUse = this.submits;
    if ("buffer" in to) {
      to.lastUse = this.submits;
      if (to.derived) forgetDerived(to);
    }
    this.#pending++;
  }

  /**
   * Writes host bytes. `queue.writeBuffer` overtakes commands recorded but not yet submitted: where one of them uses the
   * buffer, a small write becomes a recorded copy, and before a large one they are submitted.
   */
  write(allocation: Allocation, offset: number, bytes: Uint8Array): void {
    this.recording?.giveUp();
    if (allocation.derived) forgetDerived(allocation);
    if (allocation.write) {
      allocation.write(offset, bytes);
      return;
    }
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
    this.encode();
    this.#open().copyBufferToBuffer(staging, 0, allocation.buffer, offset, bytes.byteLength);
    this.#leaving.push(staging);
    return true;
  }

  /** Destroys a buffer or a texture once the commands that are recorded are on their way. */
  destroyLater(resource: GPUBuffer | GPUTexture): void {
    if (this.#encoder || this.#pipelines.length > 0) this.#leaving.push(resource);
    else resource.destroy();
  }

  /** Submits what is recorded. */
  flush(): void {
    this.encode();
    if (!this.#encoder) return;
    const commands = this.#encoder.finish();
    this.#encoder = undefined;
    const recorded = this.#pending;
    this.#pending = 0;
    this.submits++;
    this.#gpu.queue.submit([commands]);
    for (const resource of this.#leaving.splice(0)) resource.destroy(); // takes effect after what was submitted
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
