import { expect } from "vitest";
import type { ByteCache, CacheEntry } from "../../../src/io/files/byte-cache.ts";
import { concatBytes } from "../../../src/util/bytes.ts";

/** A cache that tests look into. */
export interface MemoryCache extends ByteCache {
  readonly entries: Map<string, Uint8Array>;
  readonly notes: Map<string, string>;
  /** Longest piece that was written. */
  largest: number;
  /** Changes a byte of the only entry; behind the back of the file's time, or not. */
  flip(isSeen: boolean): void;
}

/** A cache in memory; counts what is written. */
export function memoryCache(): MemoryCache {
  const entries = new Map<string, Uint8Array>();
  const notes = new Map<string, string>();
  const stamps = new Map<string, number>();
  const cache = {
    entries,
    notes,
    largest: 0,
    flip(isSeen: boolean) {
      const [[key, bytes] = ["", new Uint8Array(1)]] = entries;
      const damaged = bytes.slice();
      damaged[bytes.length >> 1]! ^= 1;
      entries.set(key, damaged);
      if (isSeen) stamps.set(key, (stamps.get(key) ?? 0) + 1);
    },
    open: async (key: string) => entryOf(key),
    recall: async (key: string) => notes.get(key),
    remember: async (key: string, note: string) => void notes.set(key, note),
  };
  const entryOf = (key: string): CacheEntry => {
    const bytes = () => entries.get(key) ?? new Uint8Array(0);
    return {
      length: async () => bytes().length,
      write: async (offset, piece) => {
        expect(offset).toBeLessThanOrEqual(bytes().length);
        cache.largest = Math.max(cache.largest, piece.length);
        entries.set(key, concatBytes([bytes().subarray(0, offset), piece]));
        stamps.set(key, (stamps.get(key) ?? 0) + 1);
      },
      read: async (start, end) => bytes().slice(start, end),
      stamp: async () => String(stamps.get(key) ?? 0),
      discard: async () => void entries.delete(key),
    };
  };
  return cache;
}
