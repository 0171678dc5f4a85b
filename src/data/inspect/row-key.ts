import { IGNORE_INDEX, type Sequence } from "../sequence.ts";

/**
 * A number of 53 bits for the tokens of a row and which of them are learnt, by two FNV-1a hashes of 32 bits. Of a million
 * different rows two share one with a probability of 1 in 18 000.
 */
export function rowKey({ inputIds, labels }: Sequence): number {
  return keyOf(inputIds, (id, i) => 2 * id + (labels[i] === IGNORE_INDEX ? 0 : 1));
}

/** The same for the tokens alone. */
export function idsKey(ids: readonly number[]): number {
  return keyOf(ids, (id) => id);
}

/** The same for the content of a file. */
export function bytesKey(bytes: Uint8Array): number {
  return keyOf(bytes, (byte) => byte);
}

/** A key for several of them, in order. */
export function textKey(keys: readonly number[]): number {
  return idsKey(keys.flatMap((key) => [key % 2 ** 32, Math.floor(key / 2 ** 32)]));
}

function keyOf(ids: Uint8Array | readonly number[], wordOf: (id: number, i: number) => number): number {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (const [i, id] of ids.entries()) {
    const word = wordOf(id, i);
    a = mix(a, word);
    b = mix(b, word ^ 0x5bd1e995);
  }
  return (settle(a) & 0x1fffff) * 2 ** 32 + settle(b);
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x01000193);
  return mixed ^ (mixed >>> 15);
}

function settle(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
