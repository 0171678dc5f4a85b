/** A value of a {@link WordMap}: it knows when it was last used. */
export interface Dated {
  /** The flush during which a command last used it. */
  lastUse: number;
}

/**
 * A map keyed by the content of short arrays of 32-bit words. It stands in the path of every dispatch: joining the words
 * into a string key costs more than the rest of recording one.
 */
export class WordMap<T extends Dated> {
  readonly #buckets = new Map<number, { key: Uint32Array; value: T }[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The value of the first `count` words. */
  get(words: Uint32Array, count = words.length): T | undefined {
    const bucket = this.#buckets.get(hash(words, count));
    if (!bucket) return undefined;
    for (const entry of bucket) if (equal(entry.key, words, count)) return entry.value;
    return undefined;
  }

  /** Adds a key that is not there yet; the words are copied. */
  add(words: Uint32Array, count: number, value: T): void {
    const code = hash(words, count);
    const entry = { key: words.slice(0, count), value };
    const bucket = this.#buckets.get(code);
    if (bucket) bucket.push(entry);
    else this.#buckets.set(code, [entry]);
    this.#size++;
  }

  /** Removes the entries for which `test` is true. */
  remove(test: (value: T, key: Uint32Array) => boolean): void {
    for (const [code, bucket] of this.#buckets) {
      const kept = bucket.filter(({ key, value }) => !test(value, key));
      this.#size -= bucket.length - kept.length;
      if (kept.length > 0) this.#buckets.set(code, kept);
      else this.#buckets.delete(code);
    }
  }

  /** Removes the half that was used longest ago, but nothing that was used at `now`. */
  removeOldest(now: number, removed: (value: T) => void = () => {}): void {
    const times = [...this.#buckets.values()].flatMap((bucket) => bucket.map(({ value }) => value.lastUse));
    const newest = times.sort((a, b) => a - b)[(times.length - 1) >> 1] ?? 0;
    let most = Math.ceil(times.length / 2);
    this.remove((value) => {
      if (most === 0 || value.lastUse > newest || value.lastUse === now) return false;
      most--;
      removed(value);
      return true;
    });
  }

  clear(): void {
    this.#buckets.clear();
    this.#size = 0;
  }
}

/** FNV-1a over words instead of bytes. */
function hash(words: Uint32Array, count: number): number {
  let code = 0x811c9dc5;
  for (let i = 0; i < count; i++) code = Math.imul(code ^ (words[i] as number), 0x01000193);
  return code;
}

function equal(key: Uint32Array, words: Uint32Array, count: number): boolean {
  if (key.length !== count) return false;
  for (let i = 0; i < count; i++) if (key[i] !== words[i]) return false;
  return true;
}
