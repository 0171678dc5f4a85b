import { concatBytes } from "../../util/bytes.ts";
import type { CacheEntry } from "./byte-cache.ts";
import { type Digest, type Digester, digester, type Hash, hashFile } from "./digest.ts";

/** A remote file that is read through a cache. */
export interface CachedFile {
  read(start: number, end: number): Promise<Uint8Array>;
}

/** A check that the whole of an entry has passed. */
export interface Seal {
  readonly digest: Digest;
  /** The entry's stamp then: while it is the same, nobody has changed the bytes. */
  readonly stamp: string;
}

/** A file, and what is known of it. */
export interface CachedFileOptions {
  readonly entry: CacheEntry;
  /** Bytes of the whole file. */
  readonly size: number;
  /** What the content should be, where that is known. */
  readonly digest: Digest | undefined;
  /** The last check, if there was one. */
  readonly seal: Seal | undefined;
  /** Whether the bytes are checked even where the seal is whole: a disk that loses bits changes no time. */
  readonly verify: boolean;
  readonly hash: Hash;
  /** Whether the server sends parts; if not, one request downloads all that is missing. */
  readonly ranges: boolean;
  /** Yields the remote bytes [start, end) in order. */
  stream(start: number, end: number): AsyncIterable<Uint8Array>;
  /** Keeps a new seal. */
  onSeal(seal: Seal): Promise<void>;
  /** Called before what is not as it should be is downloaded once more. */
  onDamage(what: string): void;
  /** Throws: what was downloaded is not as it should be, once more. */
  refuse(what: string): never;
}

const MIB = 2 ** 20;

/** Bytes gathered before they are written: few file operations, little memory. */
const BATCH_BYTES = 4 * MIB;

/**
 * Reads within these first bytes of a larger file do not wait for the rest, so that a model that cannot be used is
 * refused by its header; what was read is compared with the checked file later.
 */
const HEAD_BYTES = MIB;

/**
 * Reads through `entry`: what is not there yet is downloaded in order, never held whole, and hashed while it comes. No
 * byte beyond the head is handed out before the whole file is what it should be; what is not is downloaded once more,
 * then refused, and not kept. A file without a known digest is compared with that of its first download.
 */
export function cachedFile(options: CachedFileOptions): CachedFile {
  const { entry, refuse } = options;
  let queue: Promise<void> = Promise.resolve();
  let isChecked = false;
  /** What was handed out before the check. */
  let head: Uint8Array | undefined;

  const prepare = async (end: number) => {
    if (isChecked || end <= (head?.length ?? 0)) return;
    if (!head && (await isAhead(options, end))) {
      head = await downloadHead(options);
      return;
    }
    await complete(options);
    if (head && !isSame(head, await entry.read(0, head.length)))
      refuse("its header changed while it was read");
    isChecked = true;
  };

  return {
    read: async (start, end) => {
      const ready = queue.then(() => prepare(end));
      // Readers wait for one another, but do not inherit each other's failures.
      queue = ready.catch(() => {});
      await ready;
      return isChecked || !head ? entry.read(start, end) : head.slice(start, end);
    },
  };
}

/** Whether a read up to `end` may come before the whole file. */
async function isAhead({ entry, size, ranges }: CachedFileOptions, end: number): Promise<boolean> {
  return ranges && end <= HEAD_BYTES && HEAD_BYTES < size && (await usableLength(entry, size)) < size;
}

async function downloadHead({ entry, stream }: CachedFileOptions): Promise<Uint8Array> {
  const have = await entry.length();
  if (have < HEAD_BYTES) await store(entry, have, stream(have, HEAD_BYTES));
  return entry.read(0, HEAD_BYTES);
}

/** Downloads what is missing, and checks all of it unless that was done. */
async function complete(options: CachedFileOptions): Promise<void> {
  const { entry, size, seal, verify, onSeal, onDamage, refuse } = options;
  const isKept = (await usableLength(entry, size)) === size;
  const expected = options.digest ?? (isKept ? seal?.digest : undefined);
  if (isKept && !verify && seal?.digest === expected && seal?.stamp === (await entry.stamp())) return;
  for (let attempt = 1; ; attempt++) {
    const found = await downloadRest(options, expected);
    if (expected === undefined || found.digest === expected) return onSeal(found);
    await entry.discard();
    const what = `has ${found.digest}, expected ${expected}`;
    if (attempt > 1) refuse(what);
    onDamage(`${isKept ? "what was kept of it" : "what came of it"} ${what}`);
  }
}

async function downloadRest(options: CachedFileOptions, expected: Digest | undefined): Promise<Seal> {
  const { entry, size, hash, stream } = options;
  const have = await entry.length();
  const hashing = digester(hash, size, expected);
  const stamp = await entry.stamp();
  await hashFile(entry, have, hashing);
  if (have === size) return { digest: hashing.result(), stamp };
  const stored = await store(entry, have, stream(have, size), hashing);
  if (!stored.isShared) return { digest: hashing.result(), stamp: stored.stamp };
  return downloadRest(options, expected); // another process wrote as well: what counts is what is there now
}

/** An entry longer than its file is damaged and starts over. */
async function usableLength(entry: CacheEntry, size: number): Promise<number> {
  const length = await entry.length();
  if (length <= size) return length;
  await entry.discard();
  return 0;
}

/**
 * Writes what comes behind what is there.
 * @returns the entry's stamp after the last write, and whether somebody else wrote meanwhile
 */
async function store(
  entry: CacheEntry,
  offset: number,
  chunks: AsyncIterable<Uint8Array>,
  hashing?: Digester,
): Promise<{ stamp: string; isShared: boolean }> {
  let at = offset;
  let stamp = await entry.stamp();
  let isShared = false;
  let batch: Uint8Array[] = [];
  let gathered = 0;
  const flush = async () => {
    if (gathered === 0) return;
    const bytes = concatBytes(batch);
    batch = [];
    gathered = 0;
    if ((await entry.stamp()) !== stamp) isShared = true;
    await entry.write(at, bytes);
    stamp = await entry.stamp();
    at += bytes.length;
  };
  try {
    for await (const chunk of chunks) {
      hashing?.update(chunk);
      batch.push(chunk);
      gathered += chunk.length;
      if (gathered >= BATCH_BYTES) await flush();
    }
  } finally {
    await flush(); // what arrived before a failure counts for the next attempt
  }
  return { stamp, isShared };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
