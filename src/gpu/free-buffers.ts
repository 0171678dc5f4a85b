import type { Allocation } from "./allocation.ts";

/**
 * Buffers that nobody holds, by size; of a size the oldest is taken first: which buffers a step gets depends on what is in use when it
 * begins and on its own sizes, not on the order in which the step before freed them.
 */
export class FreeBuffers {
  /** Of each size by descending id. */
  readonly #bySize = new Map<number, Allocation[]>();

  add(allocation: Allocation): void {
    const bucket = this.#bySize.get(allocation.size);
    if (bucket) insert(bucket, allocation);
    else this.#bySize.set(allocation.size, [allocation]);
  }

  /** Takes one out; undefined where there is none of this size. */
  take(size: number): Allocation | undefined {
    return this.#bySize.get(size)?.pop();
  }

  find(size: number, id: number): Allocation | undefined {
    return this.#bySize.get(size)?.find((allocation) => allocation.id === id);
  }

  /** Takes this one out. @returns whether it was there */
  remove(allocation: Allocation): boolean {
    const bucket = this.#bySize.get(allocation.size) ?? [];
    const at = bucket.indexOf(allocation);
    if (at >= 0) bucket.splice(at, 1);
    return at >= 0;
  }

  /** Those for which it is true. */
  filter(wanted: (allocation: Allocation) => boolean): Allocation[] {
    return [...this.#bySize.values()].flat().filter(wanted);
  }
}

function insert(bucket: Allocation[], allocation: Allocation): void {
  let [low, high] = [0, bucket.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bucket[middle] as Allocation).id > allocation.id) low = middle + 1;
    else high = middle;
  }
  bucket.splice(low, 0, allocation);
}
