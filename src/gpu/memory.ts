import { append } from "../util/arrays.ts";
import { LoraError } from "../util/fail.ts";
import { type Allocation, allocationOf, forgetDerived, sizeClass } from "./allocation.ts";
import { FreeBuffers } from "./free-buffers.ts";

export { type Allocation, forgetDerived, sizeClass } from "./allocation.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A set of allocations that die together. */
export type Scope = Set<Allocation>;

const USAGE = 0x80 | 0x4 | 0x8; // STORAGE | COPY_SRC | COPY_DST: numbers, so that no GPU global is needed

/** In place of the id of an allocation that has no buffer: using it is an error. */
const NO_BUFFER = 0xffff_ffff;

/** Free buffers are kept as long as all buffers together take no more than this times the highest use. */
const MOST_RESERVED = 1.25;
/** Steps after which a buffer that none of them used is given back. */
const IDLE_STEPS = 16;

/** Byte counts of one device's buffers. */
export interface MemoryStats {
  /** Held by somebody now. */
  used: number;
  /** Highest `used` since the last {@link Memory.resetPeak}. */
  peak: number;
  /** Used plus free buffers kept in the pool. */
  reserved: number;
}

/**
 * Buffer pool with three lifetimes: scoped, captured (by a tape) and persistent. See docs/memory.md.
 */
export class Memory {
  /** Most bytes in use since somebody set this. */
  highest = 0;
  /** Called for every buffer that somebody takes. */
  onAllocate: ((allocation: Allocation) => void) | undefined;
  /** Called for every buffer that returns to the pool (tests fill it with NaN). */
  onRelease: ((allocation: Allocation) => void) | undefined;
  /** Called before the pool gives these buffers back to the driver. */
  onTrim: ((allocations: readonly Allocation[]) => void) | undefined;
  readonly #gpu: GPUDevice;
  readonly #free = new FreeBuffers();
  readonly #scopes: Scope[] = [];
  /** Allocations of which it is not yet known whether the device could give them. */
  readonly #outcomes = new Set<Promise<void>>();
  /**
   * Buffers that the device could not give, and that somebody holds: whatever reads or writes them is an error. An allocation
   * may have changed its buffer until that is known; see {@link vacate}.
   */
  readonly #missing = new Set<GPUBuffer>();
  readonly #destroyed = new WeakSet<GPUBuffer>();
  /** The error of an allocation, until it is over. */
  #shortage: LoraError | undefined;
  #isTold = false;
  #recovery: Promise<void> | undefined;
  #allocateElsewhere: ((bytes: number) => Allocation) | undefined;
  #nextId = 0;
  #taken = 0;
  #step = 0;
  #stats: MemoryStats = { used: 0, peak: 0, reserved: 0 };

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** How often a buffer was taken so far; see {@link Allocation.takenAt}. */
  get taken(): number {
    return this.#taken;
  }

  get stats(): Readonly<MemoryStats> {
    return { ...this.#stats };
  }

  resetPeak(): void {
    this.#stats.peak = this.#stats.used;
  }

  /** A buffer of at least `bytes`, held once: by the innermost scope, or by the caller where there is none. */
  allocate(bytes: number): Allocation {
    if (this.#allocateElsewhere) return this.#allocateElsewhere(bytes);
    const size = sizeClass(bytes);
    const reused = this.#free.take(size);
    const allocation = reused ?? this.#create(size, bytes);
    this.#take(allocation);
    if (!reused) this.#limit();
    this.onAllocate?.(allocation);
    return allocation;
  }

  /** A buffer that lies in the pool; undefined where somebody holds it, or it went back to the driver. */
  findFree(size: number, id: number): Allocation | undefined {
    return this.#free.find(size, id);
  }

  /** Takes this buffer, which lies in the pool, rather than any other of its size. */
  retake(allocation: Allocation): void {
    if (!this.#free.remove(allocation))
      throw new Error("memory: taken again while it is in use; this is a bug in the engine");
    this.#take(allocation);
    this.onAllocate?.(allocation);
  }

  /** Takes buffers that lie in the pool and gives them back, at most so many bytes of them at a time. */
  borrow(allocations: readonly Allocation[], bytes: number): void {
    this.#noteUse(this.#stats.used + bytes);
    for (const allocation of allocations) {
      allocation.lastStep = this.#step;
      this.onAllocate?.(allocation);
      this.onRelease?.(allocation);
    }
  }

  #noteUse(bytes: number): void {
    this.#stats.peak = Math.max(this.#stats.peak, bytes);
    this.highest = Math.max(this.highest, bytes);
  }

  #take(allocation: Allocation): void {
    allocation.holds = 1;
    allocation.takenAt = ++this.#taken;
    allocation.lastStep = this.#step;
    this.#scopes.at(-1)?.add(allocation);
    this.#stats.used += allocation.size;
    this.#noteUse(this.#stats.used);
  }

  /**
   * Begins a step: what repeats with sizes much like the last one's, such as a training step or a decoded token. Buffers
   * that many steps did not use are given back, and from now on others may take the place of those that this step does
   * not use.
   */
  beginStep(): void {
    this.#step++;
    this.#giveBack(this.#free.filter(({ lastStep }) => lastStep < this.#step - IDLE_STEPS));
  }

  /** Counts bytes that lie beside the pool, and are held; fewer of them where the number is negative. */
  count(bytes: number): void {
    this.#stats.used += bytes;
    this.#stats.reserved += bytes;
    this.#noteUse(this.#stats.used);
  }

  hold(allocation: Allocation): void {
    allocation.holds++;
  }

  release(allocation: Allocation): void {
    if (allocation.holds <= 0) throw new Error("memory: released twice; this is a bug in the engine");
    if (--allocation.holds > 0 || allocation.isVacant) return;
    if (allocation.derived) forgetDerived(allocation);
    if (allocation.free) {
      allocation.free();
      return;
    }
    this.#stats.used -= allocation.size;
    allocation.lastStep = this.#step;
    if (this.#missing.size > 0 && this.#missing.has(allocation.buffer)) {
      this.#giveBack([allocation]);
      this.#recover();
      return;
    }
    this.onRelease?.(allocation);
    this.#free.add(allocation);
  }

  /** Returns the buffer of an allocation to the pool, while those who hold it wait for {@link refill}. */
  vacate(allocation: Mutable<Allocation>): void {
    const { id, buffer, size, derived } = allocation;
    const left = allocationOf(id, buffer, size);
    left.lastUse = allocation.lastUse;
    left.derived = derived;
    left.holds = 1;
    this.release(left);
    allocation.id = NO_BUFFER;
    allocation.buffer = undefined as never;
    allocation.isVacant = true;
  }

  /** Gives a vacant allocation the buffer of another one of its size, which nobody uses from now on. */
  refill(allocation: Mutable<Allocation>, { id, buffer, lastUse }: Allocation): void {
    allocation.id = id;
    allocation.buffer = buffer;
    allocation.lastUse = lastUse;
    allocation.isVacant = false;
  }

  /** Ends the innermost scope's hold on what was made in it before the scope itself ends. */
  letGo(allocation: Allocation): void {
    if (this.#scopes.at(-1)?.delete(allocation)) this.release(allocation);
  }

  /** Hands one hold over to the innermost scope, or to the caller where there is none. */
  adopt(allocation: Allocation): void {
    const scope = this.#scopes.at(-1);
    if (!scope) return;
    if (scope.has(allocation)) this.release(allocation);
    else scope.add(allocation);
  }

  /** Starts a scope: everything allocated until {@link endScope} dies there unless kept or held. */
  beginScope(): Scope {
    const scope: Scope = new Set();
    this.#scopes.push(scope);
    return scope;
  }

  /** Ends the innermost scope; `kept` moves to the enclosing scope (or to the caller where there is none). */
  endScope(scope: Scope, kept: Iterable<Allocation> = []): void {
    if (this.#scopes.pop() !== scope) throw new Error("memory: scopes ended out of order; this is a bug");
    const outer = this.#scopes.at(-1);
    for (const allocation of kept) {
      if (!scope.delete(allocation)) continue;
      outer?.add(allocation);
    }
    for (const allocation of scope) this.release(allocation);
  }

  /** Runs `body` outside every scope: what it allocates lives until it is released explicitly. */
  persistent<T>(body: () => T): T {
    const suspended = this.#scopes.splice(0);
    try {
      return body();
    } finally {
      append(this.#scopes, suspended);
    }
  }

  /** Runs `body`: what it allocates comes from `allocate`, and lives until it is released explicitly. */
  from<T>(allocate: (bytes: number) => Allocation, body: () => T): T {
    this.#allocateElsewhere = allocate;
    try {
      return body();
    } finally {
      this.#allocateElsewhere = undefined;
    }
  }

  /** Returns free buffers to the driver. */
  trim(): void {
    this.#giveBack(this.#free.filter(() => true));
  }

  /** Destroys buffers that nobody holds. */
  #giveBack(allocations: readonly Allocation[]): void {
    if (allocations.length === 0) return;
    this.onTrim?.(allocations);
    for (const allocation of allocations) {
      const { size, buffer } = allocation;
      this.#free.remove(allocation);
      this.#stats.reserved -= size;
      this.#missing.delete(buffer);
      this.#destroyed.add(buffer);
      buffer.destroy();
    }
  }

  /**
   * Gives back what was used longest ago where free buffers are too many. What the step under way has used stays: it
   * would be made again in every step.
   */
  #limit(): void {
    let excess = this.#stats.reserved - MOST_RESERVED * this.#stats.peak;
    if (excess <= 0) return;
    const idle = this.#free.filter(({ lastStep }) => lastStep < this.#step);
    const leaving: Allocation[] = [];
    for (const allocation of idle.sort((a, b) => a.lastStep - b.lastStep)) {
      if (excess <= 0) break;
      leaving.push(allocation);
      excess -= allocation.size;
    }
    this.#giveBack(leaving);
  }

  /**
   * Waits until it is known of all allocations so far whether the device could give them. Everybody who waits is told of
   * an error. After that, and once the missing buffers are released, the device goes on with less.
   * @throws LoraError of kind `out-of-memory`
   */
  async check(): Promise<void> {
    await this.#recovery; // whoever comes now has nothing to do with it
    await this.isShort();
    if (!this.#shortage) return;
    this.#isTold = true;
    const error = this.#shortage;
    this.#recover();
    throw error;
  }

  /** Whether an allocation failed, so that commands fail which use it; waits until that is known. */
  async isShort(): Promise<boolean> {
    await Promise.all(this.#outcomes);
    return this.#shortage !== undefined;
  }

  /** Notes an error of the device's memory that came from elsewhere, for the next {@link check}. */
  reportError(reason: string): void {
    this.#shortage ??= this.#outOfMemory("any", reason);
  }

  /** Ends a shortage when it was told, nobody holds a missing buffer, and the device is through with commands on them. */
  #recover(): void {
    if (!this.#isTold || this.#missing.size > 0 || this.#recovery) return;
    this.trim();
    const recovery = this.#gpu.queue.onSubmittedWorkDone().then(
      () => {
        this.#recovery = undefined;
        this.#shortage = undefined;
        this.#isTold = false;
      },
      () => {}, // the device is lost: reported by Device.check
    );
    this.#recovery = recovery;
  }

  #create(size: number, bytes: number): Allocation {
    const { maxBufferSize } = this.#gpu.limits;
    if (size > maxBufferSize)
      throw this.#outOfMemory(mebibytes(bytes), `one buffer may have ${maxBufferSize} bytes here`);
    this.#gpu.pushErrorScope("validation");
    this.#gpu.pushErrorScope("out-of-memory");
    const buffer = this.#gpu.createBuffer({ size, usage: USAGE });
    const allocation = allocationOf(this.#nextId++, buffer, size);
    allocation.lastStep = this.#step;
    const shortage = { bytes, stats: this.stats }; // which are others once the error is known
    const onError = () => {
      if (this.#destroyed.has(buffer)) return;
      this.#missing.add(buffer);
      this.#giveBack(this.#free.filter((free) => free.buffer === buffer));
    };
    for (let scopes = 0; scopes < 2; scopes++) this.#watch(this.#gpu.popErrorScope(), shortage, onError);
    this.#stats.reserved += size;
    return allocation;
  }

  /**
   * Waits, in {@link check}, for what error scopes around an allocation beside the pool say.
   * @param onError is given the error that is thrown
   */
  watch(
    scopes: readonly Promise<GPUError | null>[],
    bytes: number,
    onError: (error: LoraError) => void,
  ): void {
    const shortage = { bytes, stats: this.stats };
    for (const scope of scopes) this.#watch(scope, shortage, onError);
  }

  #watch(
    scope: Promise<GPUError | null>,
    { bytes, stats }: { readonly bytes: number; readonly stats: MemoryStats },
    onError: (error: LoraError) => void,
  ): void {
    const outcome = scope.then(
      (error) => {
        this.#outcomes.delete(outcome);
        if (!error) return;
        this.#shortage ??= this.#outOfMemory(mebibytes(bytes), error.message, stats);
        onError(this.#shortage);
      },
      () => {}, // the device is lost: reported by Device.check
    );
    this.#outcomes.add(outcome);
  }

  /** @param reason what the system says; behind its first line Dawn has where it failed in Dawn */
  #outOfMemory(amount: string, reason: string, { used, reserved }: MemoryStats = this.#stats): LoraError {
    const state = `${amount} more with ${mebibytes(used)} in use, ${mebibytes(reserved)} reserved`;
    const [why = ""] = reason.split("\n");
    return new LoraError(
      "out-of-memory",
      "memory",
      `the device could not give ${state} (${why})`,
      "use a smaller model, batch or max_length, or switch gradient checkpointing on",
    );
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
