/**
 * A seeded random number generator for the host.
 * Only 32-bit integer operations, `+ - * /` and `Math.sqrt` are used, so every engine and platform draws the
 * same numbers; `Math.log` and `Math.cos` would not do, their last bits differ between engines.
 */
export interface Random {
  /** The next 32 random bits, as an integer in [0, 2³²). */
  bits(): number;
  /** A float in [0, 1) with 53 random bits. */
  uniform(): number;
  /** A float from the normal distribution of mean 0 and variance 1. */
  normal(): number;
  /** An integer in [0, n), each equally likely; `n` is in 1…2³². */
  integer(n: number): number;
  /** One element of a non-empty array. */
  pick<T>(items: readonly T[]): T;
  /** Shuffles the array in place (Fisher–Yates) and returns it; of equal lengths all arrays in the same way. */
  shuffle<T extends unknown[] | Uint32Array>(items: T): T;
  /**
   * An independent generator, named by a label or a number.
   * It depends on this generator's seed only, not on how many numbers were drawn: adding a draw somewhere
   * leaves every fork unchanged.
   */
  fork(label: string | number): Random;
}

/** Makes a generator; equal seeds give equal streams. The seed is any safe integer. */
export function createRandom(seed: number): Random {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`createRandom: seed ${seed} is not a safe integer`);
  return fromKey(mixNumber(0x9e3779b9, seed));
}

function fromKey(key: number): Random {
  const bits = xoshiro128(key);
  const uniform = () => ((bits() >>> 5) * 0x4000000 + (bits() >>> 6)) / 0x20000000000000;
  const normal = normalFrom(uniform);
  const integer = (n: number) => integerBelow(n, bits);
  return {
    bits,
    uniform,
    normal,
    integer,
    pick: (items) => items[integer(items.length)]!,
    shuffle: (items) => shuffleInPlace(items, integer),
    fork: (label) => fromKey(typeof label === "number" ? mixNumber(~key, label) : mixString(~key, label)),
  };
}

/** xoshiro128** 1.1 (Blackman and Vigna), its state filled by splitmix32 from one 32-bit key. */
function xoshiro128(key: number): () => number {
  let counter = key;
  const next = () => {
    counter = (counter + 0x9e3779b9) | 0;
    return scramble(counter);
  };
  let [a, b, c, d] = [next(), next(), next(), next()];
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotateLeft(d, 11);
    return result >>> 0;
  };
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

/** The finaliser of MurmurHash3: every input bit reaches every output bit. */
function scramble(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

function mixNumber(key: number, value: number): number {
  const low = value >>> 0;
  const high = Math.floor(value / 0x100000000) >>> 0;
  return scramble(scramble(key ^ low) + high);
}

/** FNV-1a over the UTF-16 units, started at the key. */
function mixString(key: number, text: string): number {
  let hash = key ^ 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return scramble(hash);
}

function integerBelow(n: number, bits: () => number): number {
  if (!Number.isInteger(n) || n < 1 || n > 0x100000000)
    throw new RangeError(`Random.integer: no integer is below ${n}`);
  // The last, incomplete run of n values would favour small results: draw again when it is hit.
  const limit = 0x100000000 - (0x100000000 % n);
  let draw = bits();
  while (draw >= limit) draw = bits();
  return draw % n;
}

function shuffleInPlace<T extends unknown[] | Uint32Array>(items: T, integer: (n: number) => number): T {
  for (let i = items.length - 1; i > 0; i--) {
    const j = integer(i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}

/** Marsaglia's polar method; each accepted point gives two numbers, the second is kept for the next call. */
function normalFrom(uniform: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    let [x, y, s] = [0, 0, 0];
    while (s === 0 || s >= 1) {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      s = x * x + y * y;
    }
    const factor = Math.sqrt((-2 * naturalLog(s)) / s);
    spare = y * factor;
    return x * factor;
  };
}

/** ln x for 0 < x < 1 as 2·artanh((m−1)/(m+1)) − k·ln 2, where x = m·2⁻ᵏ and m is in [0.7, 1.42). */
function naturalLog(x: number): number {
  let k = 0;
  for (; x < Math.SQRT1_2; x *= 2) k++;
  const t = (x - 1) / (x + 1);
  let [sum, power] = [0, t];
  for (let n = 1; n < 25; n += 2) {
    sum += power / n;
    power *= t * t;
  }
  return 2 * sum - k * Math.LN2;
}
