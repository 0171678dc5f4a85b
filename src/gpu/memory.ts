import { LoraError } from "../util/fail.ts";

/**
 * A GPU buffer with a count of who needs it. Nobody outside `gpu/` and `autograd/` touches the count:
 * a scope holds what is made in it, a tape holds what a backward pass will read, a persistent owner holds
 * its weights. At zero the buffer goes back to the pool.
 */
export interface Allocation {
  readonly id: number;
  readonly buffer: GPUBuffer;
  /** Capacity in bytes; at least what was asked for. */
  readonly size: number;
  holds: number;
  /** The flush during which a command last used it; decides whether an upload must wait for the open encoder. */
  lastUse: number;
}

/** A set of allocations that die together. */
export type Scope = Set<Allocation>;

const USAGE = 0x80 | 0x4 | 0x8; // STORAGE | COPY_SRC | COPY_DST: numbers, so that no GPU global is needed
const GRANULE = 256; // binding offset alignment of the portable floor

/** Rounds up to one of eight sizes an octave: at most 1/8 of a buffer is slack, and shapes that vary a little share buffers. */
export function sizeClass(bytes: number): number {
  const least = Math.max(bytes, GRANULE);
  const step = Math.max(GRANULE, 2 ** (Math.floor(Math.log2(least)) - 3));
  return Math.ceil(least / step) * step;
}

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
  /** Called for every buffer that returns to the pool (tests fill it with NaN). */
  onRelease: ((allocation: Allocation) => void) | undefined;
  /** Called before the pool gives buffers back to the driver. */
  onTrim: (() => void) | undefined;
  readonly #gpu: GPUDevice;
  /**
   * Free buffers by size, the oldest last and taken first: which buffers a step gets depends on what is in use when it begins
   * and on its own sizes, not on the order in which the step before freed them.
   */
  readonly #free = new Map<number, Allocation[]>();
  readonly #scopes: Scope[] = [];
  readonly #pendingErrors: Promise<void>[] = [];
  #error: LoraError | undefined;
  #nextId = 0;
  #stats: MemoryStats = { used: 0, peak: 0, reserved: 0 };

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  get stats(): Readonly<MemoryStats> {
    return { ...this.#stats };
  }

  resetPeak(): void {
    this.#stats.peak = this.#stats.used;
  }

  /** A buffer of at least `bytes`, held once: by the innermost scope, or by the caller where there is none. */
  allocate(bytes: number): Allocation {
    const size = sizeClass(bytes);
    const allocation = this.#free.get(size)?.pop() ?? this.#create(size, bytes);
    allocation.holds = 1;
    this.#scopes.at(-1)?.add(allocation);
    this.#stats.used += allocation.size;
    this.#stats.peak = Math.max(this.#stats.peak, this.#stats.used);
    return allocation;
  }

  hold(allocation: Allocation): void {
    allocation.holds++;
  }

  release(allocation: Allocation): void {
    if (allocation.holds <= 0) throw new Error("memory: released twice; this is a bug in the engine");
    if (--allocation.holds > 0) return;
    this.#stats.used -= allocation.size;
    this.onRelease?.(allocation);
    const bucket = this.#free.get(allocation.size);
    if (bucket) insert(bucket, allocation);
    else this.#free.set(allocation.size, [allocation]);
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
      this.#scopes.push(...suspended);
    }
  }

  /** Returns free buffers to the driver. */
  trim(): void {
    this.onTrim?.();
    for (const bucket of this.#free.values()) {
      for (const allocation of bucket) {
        this.#stats.reserved -= allocation.size;
        allocation.buffer.destroy();
      }
    }
    this.#free.clear();
  }

  /** Waits for the error scopes of all allocations so far. @throws LoraError of kind `out-of-memory`. */
  async check(): Promise<void> {
    await Promise.all(this.#pendingErrors.splice(0));
    if (this.#error) throw this.#error;
  }

  #create(size: number, bytes: number): Allocation {
    const { maxBufferSize } = this.#gpu.limits;
    if (size > maxBufferSize)
      throw this.#outOfMemory(bytes, `one buffer may have ${maxBufferSize} bytes here`);
    this.#gpu.pushErrorScope("validation");
    this.#gpu.pushErrorScope("out-of-memory");
    const buffer = this.#gpu.createBuffer({ size, usage: USAGE });
    for (let scopes = 0; scopes < 2; scopes++) this.#watch(this.#gpu.popErrorScope(), bytes);
    this.#stats.reserved += size;
    return { id: this.#nextId++, buffer, size, holds: 0, lastUse: -1 };
  }

  #watch(scope: Promise<GPUError | null>, bytes: number): void {
    const noted = scope.then(
      (error) => {
        if (error) this.#error ??= this.#outOfMemory(bytes, error.message);
      },
      () => {}, // the device is lost: reported by Device.check
    );
    this.#pendingErrors.push(noted);
  }

  #outOfMemory(bytes: number, reason: string): LoraError {
    const { used, reserved } = this.#stats;
    const state = `${mebibytes(bytes)} more with ${mebibytes(used)} in use, ${mebibytes(reserved)} reserved`;
    return new LoraError(
      "out-of-memory",
      "memory",
      `the device could not give ${state} (${reason})`,
      "use a smaller model, batch or max_length, or switch gradient checkpointing on",
    );
  }
}

/** Puts an allocation in its place in a list whose ids descend. */
function insert(bucket: Allocation[], allocation: Allocation): void {
  let [low, high] = [0, bucket.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bucket[middle] as Allocation).id > allocation.id) low = middle + 1;
    else high = middle;
  }
  bucket.splice(low, 0, allocation);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
