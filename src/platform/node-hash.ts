import { createHash } from "node:crypto";
import type { Hash } from "../io/files/digest.ts";

/** OpenSSL's hashes. */
export const nodeHash: Hash = (algorithm) => {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
};
