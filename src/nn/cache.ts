import type { Device } from "../gpu/device.ts";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";

/** Sizes of a key/value cache. */
export interface CacheSizes {
  numLayers: number;
  numKvHeads: number;
  headDim: number;
  /** Most tokens that fit. */
  capacity: number;
}

interface Entry {
  k: Tensor;
  v: Tensor;
}

/** Keys and values `[1, capacity, Hkv, D]` of one sequence, for each attention layer. */
export class KvCache {
  /** Tokens whose keys and values are complete in every layer. */
  length = 0;
  /** Tokens that there is room for. */
  readonly capacity: number;
  readonly #entries: Entry[];

  constructor(device: Device, { numLayers, numKvHeads, headDim, capacity }: CacheSizes) {
    const shape = [1, capacity, numKvHeads, headDim];
    this.capacity = capacity;
    this.#entries = device.memory.persistent(() =>
      Array.from({ length: numLayers }, () => ({ k: empty(device, shape), v: empty(device, shape) })),
    );
  }

  /** Appends the new tokens' keys and values `[1, T, Hkv, D]` of one layer; returns the whole cache of the layer. */
  append(layer: number, k: Tensor, v: Tensor): Entry {
    const entry = this.#entries[layer] as Entry;
    const tokens = k.shape[1] as number;
    if (this.length + tokens > this.capacity) {
      fail("KvCache", `${this.length + tokens} tokens exceed the capacity of ${this.capacity}`);
    }
    copyRows(k, entry.k, this.length);
    copyRows(v, entry.v, this.length);
    return entry;
  }

  /** Gives the memory back. */
  release(): void {
    for (const { k, v } of this.#entries.splice(0)) {
      for (const { device, storage } of [k, v]) device.memory.release(storage);
    }
  }
}

function copyRows(from: Tensor, to: Tensor, row: number): void {
  const rowBytes = to.byteLength / (to.shape[1] as number);
  from.device.stream.copy(
    from.storage,
    from.byteOffset,
    to.storage,
    to.byteOffset + row * rowBytes,
    from.byteLength,
  );
}
