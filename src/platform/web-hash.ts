// SHA-1 and SHA-256 of bytes that come one after another (FIPS 180-4), which a browser's own crypto.subtle cannot:
// it wants a whole file in memory.
import type { Hash, Hasher } from "../io/files/digest.ts";

const BLOCK_BYTES = 64;

/** A hash function of blocks of 16 big-endian words. */
interface BlockHash {
  readonly initial: readonly number[];
  /** Takes a block, in `schedule`'s first 16 words, into the state. */
  compress(state: Int32Array, schedule: Int32Array): void;
}

/** Hashes in plain JavaScript. */
export const webHash: Hash = (algorithm) => hasher(algorithm === "sha1" ? SHA1 : SHA256);

function hasher({ initial, compress }: BlockHash): Hasher {
  const state = Int32Array.from(initial);
  const schedule = new Int32Array(80);
  const rest = new Uint8Array(BLOCK_BYTES);
  let restLength = 0;
  let total = 0;

  const takeBlock = (bytes: Uint8Array, at: number) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, BLOCK_BYTES);
    for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(4 * i);
    compress(state, schedule);
  };

  const update = (bytes: Uint8Array) => {
    total += bytes.length;
    let at = 0;
    if (restLength > 0) {
      at = Math.min(BLOCK_BYTES - restLength, bytes.length);
      rest.set(bytes.subarray(0, at), restLength);
      restLength += at;
      if (restLength < BLOCK_BYTES) return;
      takeBlock(rest, 0);
    }
    for (; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) takeBlock(bytes, at);
    rest.set(bytes.subarray(at));
    restLength = bytes.length - at;
  };

  return {
    update,
    hex() {
      // A one bit, zeros, and the length in bits as 64 bits fill up the last block.
      const bits = BigInt(total) * 8n;
      const padding = new Uint8Array((total % BLOCK_BYTES < 56 ? 56 : 120) - (total % BLOCK_BYTES) + 8);
      padding[0] = 0x80;
      new DataView(padding.buffer).setBigUint64(padding.length - 8, bits);
      update(padding);
      return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
    },
  };
}

const left = (x: number, by: number) => (x << by) | (x >>> (32 - by));
const right = (x: number, by: number) => (x >>> by) | (x << (32 - by));

// Every sum is cut to a signed 32-bit integer at once: engines then compute in integers, some ten times as fast.

const SHA1: BlockHash = {
  initial: [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0],
  compress(state, w) {
    for (let t = 16; t < 80; t++) {
      w[t] = left(word(w, t - 3) ^ word(w, t - 8) ^ word(w, t - 14) ^ word(w, t - 16), 1);
    }
    let a = word(state, 0);
    let b = word(state, 1);
    let c = word(state, 2);
    let d = word(state, 3);
    let e = word(state, 4);
    for (let t = 0; t < 80; t++) {
      const next = (((left(a, 5) + sha1Mix(t, b, c, d)) | 0) + ((e + word(w, t)) | 0)) | 0;
      e = d;
      d = c;
      c = left(b, 30);
      b = a;
      a = next;
    }
    add(state, [a, b, c, d, e]);
  },
};

/** The function and the constant of a round. */
function sha1Mix(t: number, b: number, c: number, d: number): number {
  if (t < 20) return (((b & c) ^ (~b & d)) + 0x5a827999) | 0;
  if (t < 40) return ((b ^ c ^ d) + 0x6ed9eba1) | 0;
  if (t < 60) return (((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc) | 0;
  return ((b ^ c ^ d) + 0xca62c1d6) | 0;
}

function word(words: Int32Array, i: number): number {
  return words[i] as number;
}

function add(state: Int32Array, values: readonly number[]): void {
  values.forEach((value, i) => {
    state[i] = word(state, i) + value;
  });
}

const PRIMES = firstPrimes(64);

/** The first 32 bits of the fractional part of a root: the standard's constants, of the first primes. */
function fraction(root: number): number {
  return Math.floor((root % 1) * 2 ** 32) | 0;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

const SHA256_ROUNDS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));

const SHA256: BlockHash = {
  initial: PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime))),
  compress(state, w) {
    for (let t = 16; t < 64; t++) {
      const x = word(w, t - 15);
      const y = word(w, t - 2);
      const early = right(x, 7) ^ right(x, 18) ^ (x >>> 3);
      const late = right(y, 17) ^ right(y, 19) ^ (y >>> 10);
      w[t] = (((word(w, t - 16) + early) | 0) + ((word(w, t - 7) + late) | 0)) | 0;
    }
    let a = word(state, 0);
    let b = word(state, 1);
    let c = word(state, 2);
    let d = word(state, 3);
    let e = word(state, 4);
    let f = word(state, 5);
    let g = word(state, 6);
    let h = word(state, 7);
    for (let t = 0; t < 64; t++) {
      const fromE = ((right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g))) | 0;
      const fromA = ((right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      const mixed = (((h + fromE) | 0) + ((word(SHA256_ROUNDS, t) + word(w, t)) | 0)) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + mixed) | 0;
      d = c;
      c = b;
      b = a;
      a = (mixed + fromA) | 0;
    }
    add(state, [a, b, c, d, e, f, g, h]);
  },
};
