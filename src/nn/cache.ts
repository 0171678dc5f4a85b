import type { Device } from "../gpu/device.ts";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { appendToCache } from "../kernels/cache-append.ts";
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

/** A row of a cache. */
export interface RowOfCache {
  readonly cache: KvCache;
  readonly row: number;
}

/** Keys and values `[B, capacity, Hkv, D]` of some sequences, for each attention layer. Each row has its own length. */
export class KvCache {
  readonly #device: Device;
  readonly #head: readonly [numKvHeads: number, headDim: number];
  #capacity: number;
  #rows: CachedRow[];
  /** A row of which nothing is read. */
  #empty = EMPTY_ROW;
  readonly #entries: Entry[];

  constructor(device: Device, { numLayers, numKvHeads, headDim, capacity, batchSize = 1 }: CacheSizes) {
    this.#device = device;
    this.#head = [numKvHeads, headDim];
    this.#capacity = capacity;
    this.#rows = Array.from({ length: batchSize }, () => EMPTY_ROW);
    this.#entries = Array.from({ length: numLayers }, () => this.#allocate());
  }

  /** Tokens of each row that there is room for, beside the virtual ones. */
  get capacity(): number {
    return this.#capacity - this.virtual;
  }

  /** Virtual tokens that every row begins with. */
  get virtual(): number {
    return this.#empty.end;
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
      checkRoom((this.#rows[document.row]?.end ?? 0) + endOf(document), this.#capacity);
    }
    return placeTokens(this.#device, layout, this.#rows);
  }

  /**
   * Writes the new tokens' keys and values `[B, T, Hkv, D]` of one layer behind each row; returns all of the layer's.
   * @param geometry what {@link place} made of the tokens
   */
  append(layer: number, k: Tensor, v: Tensor, { spans }: Pick<Geometry, "spans">): Entry {
    const entry = this.#entries[layer] as Entry;
    appendToCache({ k, v }, entry, spans);
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

  /** What is in the rows, `count` virtual tokens each, is never forgotten from now on. */
  keepAlways(count: number): void {
    this.#empty = { first: 0, end: count };
  }

  /** Forgets all tokens. */
  clear(): void {
    this.#rows.fill(this.#empty);
  }

  /** Forgets the tokens of a row behind its first `length` ones. */
  truncate(row: number, length: number): void {
    const { first, end } = this.#rows[row] as CachedRow;
    this.#rows[row] = length > 0 ? { first, end: Math.min(end, first + this.virtual + length) } : this.#empty;
  }

  /**
   * Holds these rows from now on, in this order, its own or those of caches of the same model, with room for `capacity`
   * tokens in each, beside the virtual ones. Other caches keep theirs.
   * @throws LoraError where a row has more tokens
   */
  arrange(sources: readonly RowOfCache[], capacity: number): void {
    const rows = sources.map(({ cache, row }) => cache.#rows[row] as CachedRow);
    for (const { end } of rows) checkRoom(end, capacity + this.virtual);
    this.#rows = rows;
    this.#capacity = capacity + this.virtual;
    for (const [layer, { k, v }] of this.#entries.entries()) {
      const entry = this.#allocate();
      for (const [i, { cache, row }] of sources.entries()) {
        const from = cache.#entries[layer] as Entry;
        const { end } = rows[i] as CachedRow;
        copyTokens(from.k, row, entry.k, { row: i, at: 0 }, end);
        copyTokens(from.v, row, entry.v, { row: i, at: 0 }, end);
      }
      this.#entries[layer] = entry;
      for (const { device, storage } of [k, v]) device.memory.release(storage);
    }
  }

  /** Gives the memory back. */
  release(): void {
    for (const { k, v } of this.#entries.splice(0)) {
      for (const { device, storage } of [k, v]) device.memory.release(storage);
    }
  }

  /** Room for one layer. */
  #allocate(): Entry {
    const shape = [this.#rows.length, this.#capacity, ...this.#head];
    const device = this.#device;
    return device.memory.persistent(() => ({ k: empty(device, shape), v: empty(device, shape) }));
  }
}

function checkRoom(tokens: number, capacity: number): void {
  if (tokens > capacity) fail("KvCache", `${tokens} tokens exceed the capacity of ${capacity}`);
}

/** Copies the first tokens of a row `[B, T, Hkv, D]` to a place in a row of another tensor. */
function copyTokens(
  from: Tensor,
  fromRow: number,
  to: Tensor,
  { row, at }: { row: number; at: number },
  count: number,
): void {
  if (count === 0) return;
  const [, tokens = 0] = from.shape;
  const [batchSize = 0, capacity = 0] = to.shape;
  const bytes = to.byteLength / (batchSize * capacity);
  from.device.stream.copy(
    from.storage,
    from.byteOffset + fromRow * tokens * bytes,
    to.storage,
    to.byteOffset + (row * capacity + at) * bytes,
    count * bytes,
  );
}
