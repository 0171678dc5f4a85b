/**
 * Whether a row is held out to judge by, of which `share` are, about. It depends on what the row holds only: other rows,
 * their order and the seed change nothing, and equal rows are on the same side.
 */
export function isHeldOut(row: object, share: number): boolean {
  return hash32(JSON.stringify(row)) < share * 2 ** 32;
}

/** FNV-1a over UTF-16 units, with MurmurHash3's finaliser: FNV's own high bits hardly depend on the last characters. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
