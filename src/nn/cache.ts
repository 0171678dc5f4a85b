import type { Device } from "../gpu/device.ts";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { type CachedRow, EMPTY_ROW, endOf, type Geometry, type Layout, placeTokens } from "./geometry.ts";

/** Sizes of a key/value cache. */
export interface CacheSizes {
  numLayers: number;
  numKvHeads: number;
  headDim: number;
  /** Most tokens of a row that fit, padding included. */
  capacity: number;
  /** Sequences side by side; 1 unless given. */
  batchSize?: number | undefined;
}

interface Entry {
  k: Tensor;
  v: Tensor;
}

/** Keys and values `[B, capacity, Hkv, D]` of some sequences, for each attention layer. Each row has its own length. */
export class KvCache {
  /** Tokens of each row that there is room for. */
  readonly capacity: number;
  readonly #device: Device;
  readonly #rows: CachedRow[];
  readonly #entries: Entry[];

  constructor(device: Device, { numLayers, numKvHeads, headDim, capacity, batchSize = 1 }: CacheSizes) {
    const shape = [batchSize, capacity, numKvHeads, headDim];
    this.capacity = capacity;
    this.#device = device;
    this.#rows = Array.from({ length: batchSize }, () => EMPTY_ROW);
    this.#entries = device.memory.persistent(() =>
      Array.from({ length: numLayers }, () => ({ k: empty(device, shape), v: empty(device, shape) })),
    );
  }

  /** What is complete in every layer. */
  get rows(): readonly CachedRow[] {
    return this.#rows;
  }

  /**
   * The geometry of tokens that go on with the rows.
   * @throws LoraError where they do not fit
   */
  place(layout: Layout): Geometry {
    for (const document of layout.documents) {
      const needed = (this.#rows[document.row]?.end ?? 0) + endOf(document);
      if (needed > this.capacity) fail("KvCache", `${needed} tokens exceed the capacity of ${this.capacity}`);
    }
    return placeTokens(this.#device, layout, this.#rows);
  }

  /** Writes the new tokens' keys and values `[B, T, Hkv, D]` of one layer behind each row; returns all of the layer's. */
  append(layer: number, k: Tensor, v: Tensor): Entry {
    const entry = this.#entries[layer] as Entry;
    for (const [row, { end }] of this.#rows.entries()) {
      copyRow(k, entry.k, row, end);
      copyRow(v, entry.v, row, end);
    }
    return entry;
  }

  /** Counts the tokens of a pass, which every layer has appended; padding behind them is overwritten by the next. */
  extend({ documents }: Pick<Geometry, "documents">): void {
    for (const document of documents) {
      const { first, end } = this.#rows[document.row] as CachedRow;
      this.#rows[document.row] = {
        first: end > first ? first : end + document.first,
        end: end + endOf(document),
      };
    }
  }

  /** Forgets all tokens. */
  clear(): void {
    this.#rows.fill(EMPTY_ROW);
  }

  /** Gives the memory back. */
  release(): void {
    for (const { k, v } of this.#entries.splice(0)) {
      for (const { device, storage } of [k, v]) device.memory.release(storage);
    }
  }
}

/** Copies the tokens of a row, as far as there is room: what goes beyond it is padding. */
function copyRow(from: Tensor, to: Tensor, row: number, at: number): void {
  const [, tokens = 0] = from.shape;
  const [batchSize = 0, capacity = 0] = to.shape;
  const bytes = to.byteLength / (batchSize * capacity);
  from.device.stream.copy(
    from.storage,
    from.byteOffset + row * tokens * bytes,
    to.storage,
    to.byteOffset + (row * capacity + at) * bytes,
    Math.min(tokens, capacity - at) * bytes,
  );
}
