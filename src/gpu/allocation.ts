const GRANULE = 256; // binding offset alignment of the portable floor

/** Rounds up to one of eight sizes an octave: at most 1/8 of a buffer is slack, and shapes that vary a little share buffers. */
export function sizeClass(bytes: number): number {
  const least = Math.max(bytes, GRANULE);
  const step = Math.max(GRANULE, 2 ** (Math.floor(Math.log2(least)) - 3));
  return Math.ceil(least / step) * step;
}

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
  /** When somebody took it from the pool last, in buffers taken so far: tells what is held since then from what was given back in between. */
  takenAt?: number;
  /** The step during which it was last in use; see `Memory.beginStep`. */
  lastStep: number;
  /** Its buffer is the pool's for now; see `Memory.vacate`. */
  isVacant?: boolean | undefined;
  /** The flush during which a command last used it; decides whether an upload must wait for the open encoder. */
  lastUse: number;
  /** Where the content stays on the host: how it gets there. */
  write?(offset: number, bytes: Uint8Array): void;
  /** Copies of its content elsewhere: {@link forgetDerived} whenever that changes or goes. */
  derived?: { forget(): void } | undefined;
  /** Where it is none of the pool's: called in place of returning it. */
  free?(): void;
}

/** Gives back what was made from the content of an allocation. */
export function forgetDerived(allocation: Allocation): void {
  const { derived } = allocation;
  allocation.derived = undefined;
  derived?.forget();
}

/** All of one hidden class, with every field from the first: each dispatch reads them, and objects of several kinds are read slowly. */
export function allocationOf(id: number, buffer: GPUBuffer, size: number): Allocation {
  return {
    id,
    buffer,
    size,
    holds: 0,
    takenAt: 0,
    lastStep: 0,
    isVacant: false,
    lastUse: -1,
    derived: undefined,
  };
}
