/** Mixes the pass's seed with the site's number; the factors are 2^32 over the golden ratio, and one of MurmurHash3's. */
export function siteSeed(seed: number, index: number): number {
  return (Math.imul(seed, 0x9e3779b1) + Math.imul(index + 1, 0x85ebca6b)) >>> 0;
}
