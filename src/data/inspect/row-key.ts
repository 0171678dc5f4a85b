import { IGNORE_INDEX, type Sequence } from "../sequence.ts";

/**
 * A number of 53 bits for the tokens of a row and which of them are learnt, by two FNV-1a hashes of 32 bits. Of a million
 * different rows two share one with a probability of 1 in 18 000.
 */
export function rowKey({ inputIds, labels }: Sequence): number {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (const [i, id] of inputIds.entries()) {
    const word = 2 * id + (labels[i] === IGNORE_INDEX ? 0 : 1);
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
