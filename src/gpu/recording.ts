import type { Allocation } from "./allocation.ts";
import type { Device } from "./device.ts";
import type { LaunchNotes } from "./stream.ts";
import { scoped, Tensor } from "./tensor.ts";

/** A buffer that the launches of a pass use. */
interface Use {
  /** Who had it. Of the pass's own, others may have it by turns: a tape lets its buffers go, and gets other ones. */
  readonly allocation: Allocation;
  /** When that was taken, as of then: it has another owner where this has changed. */
  readonly takenAt: number;
  isWritten: boolean;
}

/** The launches of one pass, and what they depend on; `Replay` says on what. */
export class Recording implements LaunchNotes {
  /** What tells the pass from others. */
  readonly key: readonly unknown[];
  readonly #device: Device;
  readonly #inputs: readonly Allocation[];
  readonly #dispatches: Parameters<LaunchNotes["add"]>[] = [];
  /** All but the inputs, by the buffer's id. */
  readonly #uses = new Map<number, Use>();
  /** Buffers taken by when it began: later ones are the pass's own. */
  readonly #before: number;
  /** The pass's own buffers, by id: their sizes. */
  readonly #own = new Map<number, number>();
  /** Most bytes of these that are in use at a time. */
  #bytes = 0;
  #result: (Pick<Tensor, "shape" | "dtype" | "byteOffset"> & { readonly id: number }) | undefined;
  /** What the kernels had forgotten when it was over. */
  #forgotten = 0;
  #isGivenUp = false;

  constructor(device: Device, key: readonly unknown[], inputs: readonly Tensor[]) {
    this.#device = device;
    this.key = key;
    this.#inputs = inputs.map(({ storage }) => storage);
    this.#before = device.memory.taken;
  }

  /** Runs a pass and notes what it launches. */
  record(pass: () => Tensor): Tensor {
    const { stream, kernels, memory } = this.#device;
    const { used } = memory.stats;
    memory.highest = used;
    stream.recording = this;
    let result: Tensor;
    try {
      result = scoped(this.#device, pass);
    } finally {
      stream.recording = undefined;
    }
    const { storage, shape, dtype, byteOffset } = result;
    this.#result = { id: storage.id, shape, dtype, byteOffset };
    this.#bytes = memory.highest - used;
    this.#forgotten = kernels.forgotten;
    for (const { id } of this.#inputs) this.#uses.delete(id);
    for (const [id, use] of this.#uses) {
      if (!this.#isOwn(use)) continue;
      this.#uses.delete(id);
      this.#own.set(id, use.allocation.size);
    }
    return result;
  }

  add(...dispatch: Parameters<LaunchNotes["add"]>): void {
    this.#dispatches.push(dispatch);
  }

  use(allocation: Allocation, writes: boolean): void {
    const { id, takenAt } = allocation;
    const known = this.#uses.get(id);
    if (takenAt === undefined || (known && known.takenAt !== takenAt && !this.#isOwn(known))) this.giveUp();
    else if (!known) this.#uses.set(id, { allocation, takenAt, isWritten: writes });
    else if (writes) known.isWritten = true;
  }

  /** From here on nothing is noted. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#device.stream.recording = undefined;
  }

  /** Whether launches are all that the pass was, and of what it took it holds nothing but its result. */
  get isWhole(): boolean {
    if (this.#isGivenUp || !this.#result || !this.#own.has(this.#result.id)) return false;
    return [...this.#own].every(
      ([id, size]) => id === this.#result?.id || this.#device.memory.findFree(size, id),
    );
  }

  /** Whether it may become {@link repeat repeatable} again, if it is not now: bind groups never come back. */
  get isCurrent(): boolean {
    return this.#device.kernels.forgotten === this.#forgotten;
  }

  /** Launches the same again; undefined, and nothing done, where the buffers and bind groups are not what they were. */
  repeat(): Tensor | undefined {
    const { memory, stream } = this.#device;
    if (!this.isCurrent || !this.#result) return undefined;
    for (const [id, use] of this.#uses) if (!isAsItWas(id, use)) return undefined;
    const own: Allocation[] = [];
    let storage: Allocation | undefined;
    for (const [id, size] of this.#own) {
      const allocation = memory.findFree(size, id);
      if (!allocation) return undefined;
      own.push(allocation);
      if (id === this.#result.id) storage = allocation;
    }
    this.#device.requireWorking();
    for (const dispatch of this.#dispatches) stream.dispatch(...dispatch);
    for (const used of this.#inputs) used.lastUse = stream.submits;
    for (const { allocation } of this.#uses.values()) allocation.lastUse = stream.submits;
    for (const used of own) used.lastUse = stream.submits;
    const { shape, dtype, byteOffset } = this.#result;
    memory.borrow(
      own.filter((used) => used !== storage),
      this.#bytes,
    );
    memory.retake(storage as Allocation);
    return new Tensor(this.#device, storage as Allocation, shape, dtype, byteOffset);
  }

  #isOwn({ takenAt }: Use): boolean {
    return takenAt > this.#before;
  }
}

/** Whether who held a buffer still does, without a copy that a write would make stale. */
function isAsItWas(id: number, { allocation, takenAt, isWritten }: Use): boolean {
  const isHeld = allocation.id === id && allocation.holds > 0 && allocation.takenAt === takenAt;
  return isHeld && !(isWritten && allocation.derived);
}
