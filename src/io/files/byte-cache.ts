import { concatBytes } from "../../util/bytes.ts";

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
  /** Keeps a short text, in place of any former one; a reader finds one or the other, whole. */
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
  /** Drops all bytes. */
  discard(): Promise<void>;
}

/** A remote file that is read through a cache. */
export interface CachedFile {
  read(start: number, end: number): Promise<Uint8Array>;
}

const MIB = 2 ** 20;

/** Bytes gathered before they are written: few file operations, little memory. */
const BATCH_BYTES = 4 * MIB;

/** Downloads run ahead of the reader by as much as is there already, within these bounds. */
const AHEAD_BYTES = { min: MIB, max: 64 * MIB };

/**
 * Reads through `entry`: what is not there yet is downloaded in order, never held whole.
 * @param size bytes of the whole file
 * @param ranges whether the server sends parts; if not, one request downloads all that is missing
 * @param stream yields the remote bytes [start, end) in order
 */
export function cachedFile(options: {
  entry: CacheEntry;
  size: number;
  ranges: boolean;
  stream: (start: number, end: number) => AsyncIterable<Uint8Array>;
}): CachedFile {
  const { entry, size, ranges, stream } = options;
  let queue: Promise<void> = Promise.resolve();

  const download = async (end: number) => {
    const have = await usableLength(entry, size);
    if (have >= end) return;
    const ahead = Math.min(Math.max(have, AHEAD_BYTES.min), AHEAD_BYTES.max);
    const target = ranges ? Math.min(size, Math.max(end, have + ahead)) : size;
    await store(entry, have, stream(have, target));
  };

  return {
    read: async (start, end) => {
      const ready = queue.then(() => download(end));
      // Readers wait for one another, but do not inherit each other's failures.
      queue = ready.catch(() => {});
      await ready;
      return entry.read(start, end);
    },
  };
}

/** An entry longer than its file is damaged and starts over. */
async function usableLength(entry: CacheEntry, size: number): Promise<number> {
  const length = await entry.length();
  if (length <= size) return length;
  await entry.discard();
  return 0;
}

async function store(entry: CacheEntry, offset: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  let at = offset;
  let batch: Uint8Array[] = [];
  let gathered = 0;
  const flush = async () => {
    if (gathered === 0) return;
    const bytes = concatBytes(batch);
    batch = [];
    gathered = 0;
    await entry.write(at, bytes);
    at += bytes.length;
  };
  try {
    for await (const chunk of chunks) {
      batch.push(chunk);
      gathered += chunk.length;
      if (gathered >= BATCH_BYTES) await flush();
    }
  } finally {
    await flush(); // what arrived before a failure counts for the next attempt
  }
}
