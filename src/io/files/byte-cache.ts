/**
 * Keeps downloaded bytes, so that a broken-off download goes on where it stopped.
 * A key stands for one version of one file, so bytes under a key never change: two processes that download
 * the same file write the same bytes to the same places, and need no lock.
 */
export interface ByteCache {
  /** The entry of this key; an entry that does not exist yet is empty. */
  open(key: string): Promise<CacheEntry>;
  /** The note that was kept last under this key, such as which version of a file is the newest one known. */
  recall(key: string): Promise<string | undefined>;
  /** Keeps a short text, in place of any former one; a reader finds one or the other, whole. Counts as a use of the entry. */
  remember(key: string, note: string): Promise<void>;
}

/** The bytes of one key that are there so far. */
export interface CacheEntry {
  /** Bytes present without a gap from the start. */
  length(): Promise<number>;
  /** Writes at `offset` ≤ length(); writing over bytes that are there already is allowed. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** The bytes [start, end), end ≤ length(). */
  read(start: number, end: number): Promise<Uint8Array>;
  /** A text that is another after every change of the bytes: their length, and the time of the last change. */
  stamp(): Promise<string>;
  /** Drops all bytes. */
  discard(): Promise<void>;
}
