import type { Allocation } from "./allocation.ts";
import type { Device } from "./device.ts";
import type { LaunchNotes } from "./stream.ts";
import { scoped, Tensor } from "./tensor.ts";

/** A buffer that the launches of a pass use. */
interface Use {
  readonly allocation: Allocation;
  /** Its id and when it was taken, as of then: it has another buffer, or another owner, where they have changed. */
  readonly id: number;
  readonly takenAt: number;
  readonly isWritten: boolean;
}

/** The launches of one pass, and what they depend on; `Replay` says on what. */
export class Recording implements LaunchNotes {
  /** What tells the pass from others. */
  readonly key: readonly unknown[];
  readonly #device: Device;
  readonly #inputs: readonly Allocation[];
  readonly #dispatches: Parameters<LaunchNotes["add"]>[] = [];
  /** All but the inputs. */
  readonly #uses = new Map<Allocation, Use>();
  /** Buffers taken by when it began: later ones are the pass's own. */
  readonly #before: number;
  #result: Tensor | undefined;
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
    const { stream, kernels } = this.#device;
    stream.recording = this;
    try {
      this.#result = scoped(this.#device, pass);
    } finally {
      stream.recording = undefined;
    }
    for (const storage of this.#inputs) this.#uses.delete(storage);
    this.#forgotten = kernels.forgotten;
    return this.#result;
  }

  add(...dispatch: Parameters<LaunchNotes["add"]>): void {
    this.#dispatches.push(dispatch);
  }

  use(allocation: Allocation, writes: boolean): void {
    const { id, takenAt } = allocation;
    if (takenAt === undefined) this.giveUp();
    else {
      const isWritten = writes || this.#uses.get(allocation)?.isWritten === true;
      this.#uses.set(allocation, { allocation, id, takenAt, isWritten });
    }
  }

  giveUp(): void {
    this.#isGivenUp = true;
  }

  /** Whether launches are all that the pass was, and of what it took it holds nothing but its result. */
  get isWhole(): boolean {
    const result = this.#result?.storage;
    const own = this.#own();
    const isLeft = ({ allocation, id }: Use) =>
      allocation.id === id && allocation.holds === (allocation === result ? 1 : 0);
    return !this.#isGivenUp && own.some(({ allocation }) => allocation === result) && own.every(isLeft);
  }

  /** Whether the buffers and bind groups are what they were. */
  get isIntact(): boolean {
    return (
      this.#device.kernels.forgotten === this.#forgotten &&
      [...this.#uses.values()].every((use) => use.allocation.id === use.id && this.#isAsItWas(use))
    );
  }

  /** Launches the same again; of what is {@link isIntact intact}. */
  repeat(): Tensor {
    const { memory, stream } = this.#device;
    this.#device.requireWorking();
    const { storage, shape, dtype, byteOffset } = this.#result as Tensor;
    const scope = memory.beginScope();
    for (const { allocation } of this.#own()) memory.retake(allocation);
    for (const dispatch of this.#dispatches) stream.dispatch(...dispatch);
    for (const used of [...this.#inputs, ...this.#uses.keys()]) used.lastUse = stream.submits;
    memory.endScope(scope, [storage]);
    return new Tensor(this.#device, storage, shape, dtype, byteOffset);
  }

  /** The pass's own have to be free, others held by whom they were held, without a copy that a write would make stale. */
  #isAsItWas({ allocation: { holds, takenAt, derived }, ...use }: Use): boolean {
    if (this.#isOwn(use)) return holds === 0;
    return holds > 0 && takenAt === use.takenAt && !(use.isWritten && derived);
  }

  #isOwn({ takenAt }: Pick<Use, "takenAt">): boolean {
    return takenAt > this.#before;
  }

  #own(): Use[] {
    return [...this.#uses.values()].filter((use) => this.#isOwn(use));
  }
}
