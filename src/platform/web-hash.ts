import { sha1 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Hash } from "../io/files/digest.ts";

const ALGORITHMS = { sha1, sha256 };

/** Hashes bytes that come one after another, which a browser's own `crypto.subtle` cannot: it wants a whole file in memory. */
export const webHash: Hash = (algorithm) => {
  const hash = ALGORITHMS[algorithm].create();
  return { update: (bytes) => void hash.update(bytes), hex: () => bytesToHex(hash.digest()) };
};
