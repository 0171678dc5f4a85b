import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { LoraError } from "../util/fail.ts";

/** Parameters on the host, as they were between two steps of a run. */
export interface Snapshot {
  /** How many steps of the run they have been through. */
  readonly step: number;
  /** `[n]`: what the flat buffer held. */
  readonly values: Float32Array;
}

/** The same with all from which a run can go on. */
export interface WholeSnapshot<Note> extends Snapshot {
  /** What belongs to the parameters, such as an optimiser's moments, by name. */
  readonly others: ReadonlyMap<string, Uint8Array>;
  /** What the host knew of the run. */
  readonly note: Note;
}

/** What is mirrored beside the parameters. */
export interface MirrorOptions<Note> {
  /** How many steps the parameters have been through. */
  readonly step: number;
  /** Tensors that belong to them, by name. */
  readonly others?: Readonly<Record<string, Tensor>>;
  /** What belongs to them and is never changed: it is read once. */
  readonly still?: Tensor | undefined;
  /** What the host knows of the run. */
  readonly note: Note;
}

/** Copying may take this share of the time … */
const SHARE = 0.01;
/** … unless what is on the host would get older than this. */
const OLDEST_MS = 30_000;

/**
 * Keeps a copy of a run's parameters, and of what the run needs to go on from them, on the host, so that what was learnt
 * outlives the device. The device copies them to a buffer that the host can read, between two steps, and the host takes that
 * while the device computes the next one.
 */
export class Mirror<Note = unknown> {
  /** Steps of the run that were recorded. */
  step = 0;
  /** The newest parameters that have arrived. */
  newest: Snapshot | undefined;
  /** The newest copy from which the run can go on. */
  whole: WholeSnapshot<Note> | undefined;
  /** One of a step that nobody was told of yet. */
  #early: WholeSnapshot<Note> | undefined;
  /** The last step whose outcome was told. */
  #told = 0;
  readonly #flat: Tensor;
  readonly #others: readonly (readonly [name: string, tensor: Tensor])[];
  readonly #staging: GPUBuffer | undefined;
  #still: { readonly tensor: Tensor; readonly values: Float32Array } | undefined;
  /** A copy under way. */
  #arrival: Promise<void> | undefined;
  /** When the last copy arrived, and what it took of the host's time, ms. */
  #last = { at: Number.NEGATIVE_INFINITY, took: 0 };

  private constructor(
    flat: Tensor,
    others: Readonly<Record<string, Tensor>>,
    staging: GPUBuffer | undefined,
  ) {
    this.#flat = flat;
    this.#others = Object.entries(others);
    this.#staging = staging;
  }

  /**
   * Begins to mirror parameters, before a run's first step or where one goes on. Where there is no memory for the copy, they are read by
   * {@link read} alone.
   * @param flat `[n]` f32
   */
  static async open<Note>(
    flat: Tensor,
    { step, others = {}, still, note }: MirrorOptions<Note>,
  ): Promise<Mirror<Note>> {
    const size = [flat, ...Object.values(others)].reduce((sum, { byteLength }) => sum + byteLength, 0);
    const mirror = new Mirror<Note>(flat, others, await createStaging(flat.device, size));
    mirror.finish(step, note);
    mirror.tell(step);
    if (still) await mirror.#keepStill(still);
    return mirror;
  }

  async #keepStill(tensor: Tensor): Promise<void> {
    try {
      this.#still = { tensor, values: await tensor.read() };
    } catch {
      // There is no memory for the copy, or no device: whoever uses it next is told.
    }
  }

  /**
   * Notes that a step was recorded, all but what the next one changes. Copies the parameters if it is time to; nobody waits
   * for that.
   * @param note what the host knows of the run behind that step
   * @param isGood whether the step turned out well: the copy is dropped where it did not. It must not reject
   */
  finish(step: number, note: Note, isGood: Promise<boolean> = Promise.resolve(true)): void {
    this.step = step;
    if (this.#staging && !this.#arrival && this.#isDue())
      this.#arrival = this.#copy(this.#staging, note, isGood);
  }

  /** Notes that the outcome of a step was told: a run that goes on tells it no more. */
  tell(step: number): void {
    this.#told = step;
    if (!this.#early || this.#early.step > step) return;
    this.whole = this.#early;
    this.#early = undefined;
  }

  #isDue(): boolean {
    if (this.newest?.step === 0) return true; // nothing that was learnt is on the host yet
    return performance.now() - this.#last.at >= Math.min(OLDEST_MS, this.#last.took / SHARE);
  }

  /**
   * The parameters as they are, or where the device does not give them any more as they were when last copied.
   * `newest` says afterwards which step they are of.
   * @throws LoraError where there is no copy either, or the device was closed by its owner
   */
  async read(): Promise<Float32Array> {
    const { step } = this;
    try {
      const values = await this.#flat.read();
      this.newest = { step, values };
    } catch (error) {
      await this.#arrival;
      if (isClosed(error) || !this.newest) throw error;
    }
    return this.newest.values;
  }

  /**
   * One of the tensors that are mirrored beside the parameters, in f32: as it is, or where the device does not give it any
   * more as it was when last copied, which may be earlier than what {@link read} gives.
   * @throws LoraError as {@link read} does
   */
  async readBeside(tensor: Tensor): Promise<Float32Array> {
    try {
      return await tensor.read();
    } catch (error) {
      await this.#arrival;
      const held = this.#still?.tensor === tensor ? this.#still.values : this.#copied(tensor);
      if (isClosed(error) || !held) throw error;
      return held;
    }
  }

  #copied(tensor: Tensor): Float32Array | undefined {
    const name = this.#others.find(([, other]) => other === tensor)?.[0];
    const bytes = name === undefined ? undefined : (this.#early ?? this.whole)?.others.get(name);
    return bytes && new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }

  /** Puts the newest copy back: a step that failed half-way, as for lack of memory, may have left anything. */
  async restore(): Promise<void> {
    await this.#arrival;
    if (!this.newest) return;
    this.#flat.write(this.newest.values);
    this.step = this.newest.step;
    if (this.whole?.step !== this.step) return;
    for (const [name, tensor] of this.#others) tensor.write(this.whole.others.get(name) as Uint8Array);
  }

  /** Frees the device's memory for copies; what is on the host stays. */
  async close(): Promise<void> {
    await this.#arrival;
    this.#staging?.destroy();
  }

  async #copy(staging: GPUBuffer, note: Note, isGood: Promise<boolean>): Promise<void> {
    const { step } = this;
    const { device } = this.#flat;
    const started = performance.now();
    // A submission of its own: others' commands may be refused, and all that are submitted with them.
    device.stream.flush();
    let size = 0;
    for (const { storage, byteOffset, byteLength } of [
      this.#flat,
      ...this.#others.map(([, other]) => other),
    ]) {
      device.stream.copy(storage, byteOffset, staging, size, byteLength);
      size += byteLength;
    }
    device.stream.flush();
    const arrival = staging.mapAsync(0x1); // GPUMapMode.READ
    const recording = performance.now() - started;
    try {
      await arrival;
      const arrived = performance.now();
      const bytes = staging.getMappedRange().slice(0);
      staging.unmap();
      const at = performance.now();
      this.#last = { at, took: recording + at - arrived };
      if (await isGood) this.#keep(step, note, bytes);
    } catch {
      // The device is lost or closed, which whoever uses it is told: the copy before stays.
    } finally {
      this.#arrival = undefined;
    }
  }

  #keep(step: number, note: Note, bytes: ArrayBuffer): void {
    const values = new Float32Array(bytes, 0, this.#flat.size);
    let end = this.#flat.byteLength;
    const others = this.#others.map(([name, { byteLength }]): [string, Uint8Array] => {
      end += byteLength;
      return [name, new Uint8Array(bytes, end - byteLength, byteLength)];
    });
    this.#early = { step, values, others: new Map(others), note };
    this.tell(this.#told);
    if (step >= (this.newest?.step ?? 0)) this.newest = { step, values };
  }
}

function isClosed(error: unknown): boolean {
  return error instanceof LoraError && error.kind === "input";
}

/** A buffer for copies that the host reads; undefined where there is no memory for it. */
async function createStaging({ gpu }: Device, size: number): Promise<GPUBuffer | undefined> {
  gpu.pushErrorScope("validation");
  gpu.pushErrorScope("out-of-memory");
  const staging = gpu.createBuffer({ size, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
  const outcomes = [gpu.popErrorScope(), gpu.popErrorScope()].map((outcome) => outcome.catch(() => null));
  const isMade = (await Promise.all(outcomes)).every((error) => error === null);
  return isMade ? staging : undefined;
}
