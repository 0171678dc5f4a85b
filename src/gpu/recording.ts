import type { Allocation } from "./allocation.ts";
import type { Device } from "./device.ts";
import { scoped, Tensor } from "./tensor.ts";

/** A buffer that the launches of a pass use. */
interface Use {
  readonly allocation: Allocation;
  /** Its id and when it was taken, as of then: it has another buffer, or another owner, where they have changed. */
  readonly id: number;
  readonly takenAt: number;
  readonly isWritten: boolean;
}

interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** The launches of one pass, and what they depend on; `Replay` says on what. */
export class Recording {
  readonly #device: Device;
  readonly #key: readonly unknown[];
  readonly #inputs: readonly Tensor[];
  readonly #inputIds: readonly number[];
  readonly #dispatches: Dispatch[] = [];
  readonly #uses = new Map<Allocation, Use>();
  /** Buffers that the pass took from the pool, and those that were there before it, without its inputs. */
  #own: readonly Use[] = [];
  #others: readonly Use[] = [];
  #result: Tensor | undefined;
  /** What the kernels had forgotten by then. */
  #forgotten = 0;
  #isGivenUp = false;

  constructor(device: Device, key: readonly unknown[], inputs: readonly Tensor[]) {
    this.#device = device;
    this.#key = key;
    this.#inputs = inputs;
    this.#inputIds = inputs.map(({ storage }) => storage.id);
  }

  /** Runs a pass and notes what it launches. */
  record(pass: () => Tensor): Tensor {
    const { memory, stream, kernels } = this.#device;
    const before = memory.taken;
    stream.recording = this;
    try {
      this.#result = scoped(this.#device, pass);
    } finally {
      stream.recording = undefined;
    }
    const given = new Set(this.#inputs.map(({ storage }) => storage));
    const uses = [...this.#uses.values()];
    this.#own = uses.filter(({ takenAt }) => takenAt > before);
    this.#others = uses.filter(({ takenAt, allocation }) => takenAt <= before && !given.has(allocation));
    this.#forgotten = kernels.forgotten;
    return this.#result;
  }

  /** Notes a launch. */
  add(pipeline: GPUComputePipeline, group: GPUBindGroup, x: number, y: number, z: number): void {
    this.#dispatches.push({ pipeline, group, x, y, z });
  }

  /** Notes a buffer of a launch. */
  use(allocation: Allocation, isWritten: boolean): void {
    const known = this.#uses.get(allocation);
    if (known && (known.isWritten || !isWritten)) return;
    const { id, takenAt } = allocation;
    if (takenAt === undefined) this.giveUp();
    else this.#uses.set(allocation, { allocation, id, takenAt, isWritten });
  }

  /** Notes that the pass does what cannot be repeated. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /** Whether launches are all that the pass was, and of what it took it holds nothing but its result. */
  get isWhole(): boolean {
    const result = this.#result?.storage;
    const hasResult = this.#own.some(({ allocation }) => allocation === result);
    const isLeft = ({ allocation, id }: Use) =>
      allocation.id === id && allocation.holds === (allocation === result ? 1 : 0);
    return !this.#isGivenUp && hasResult && this.#own.every(isLeft);
  }

  /** Whether a pass is asked for that depends on the same. */
  isOf(key: readonly unknown[], inputs: readonly Tensor[]): boolean {
    return (
      key.length === this.#key.length &&
      inputs.length === this.#inputs.length &&
      key.every((part, i) => part === this.#key[i]) &&
      inputs.every((input, i) => isSamePlace(input, this.#inputs[i] as Tensor)) &&
      inputs.every(({ storage }, i) => storage.id === this.#inputIds[i])
    );
  }

  /** Whether the buffers and bind groups are what they were. */
  get isIntact(): boolean {
    return (
      this.#device.kernels.forgotten === this.#forgotten &&
      this.#own.every(({ allocation, id }) => allocation.holds === 0 && allocation.id === id) &&
      this.#others.every(
        ({ allocation, id, takenAt, isWritten }) =>
          allocation.holds > 0 &&
          allocation.id === id &&
          allocation.takenAt === takenAt &&
          !(isWritten && allocation.derived),
      )
    );
  }

  /** Launches the same again; of what is {@link isIntact intact}. */
  repeat(): Tensor {
    const { memory, stream } = this.#device;
    this.#device.requireWorking();
    const { storage, shape, dtype, byteOffset } = this.#result as Tensor;
    const scope = memory.beginScope();
    for (const { allocation } of this.#own) memory.retake(allocation);
    for (const { pipeline, group, x, y, z } of this.#dispatches) stream.dispatch(pipeline, group, x, y, z);
    for (const { allocation } of this.#own) allocation.lastUse = stream.submits;
    for (const { allocation } of this.#others) allocation.lastUse = stream.submits;
    for (const { storage } of this.#inputs) storage.lastUse = stream.submits;
    memory.endScope(scope, [storage]);
    return new Tensor(this.#device, storage, shape, dtype, byteOffset);
  }
}

function isSamePlace(a: Tensor, b: Tensor): boolean {
  return (
    a.storage === b.storage &&
    a.byteOffset === b.byteOffset &&
    a.dtype === b.dtype &&
    a.shape.length === b.shape.length &&
    a.shape.every((size, axis) => size === b.shape[axis])
  );
}
