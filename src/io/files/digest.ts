/** Computes a digest of bytes that come one after another. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** The digest of all of them, in hexadecimal; asked for once. */
  hex(): string;
}

/** Starts a hash of the platform's. */
export type Hash = (algorithm: "sha1" | "sha256") => Hasher;

/**
 * What a file's content is known by on the hub: `sha256:<hex>` for large files (LFS, Xet), `git-sha1:<hex>`, git's blob
 * id, for the others.
 */
export type Digest = `${"sha256" | "git-sha1"}:${string}`;

/** The digest that an ETag of the hub is; undefined where it is something else. */
export function etagDigest(etag: string | null | undefined): Digest | undefined {
  const hex = /^(?:W\/)?"?([0-9a-f]+)"?$/.exec(etag ?? "")?.[1];
  if (hex?.length === 64) return `sha256:${hex}`;
  return hex?.length === 40 ? `git-sha1:${hex}` : undefined;
}

/** Whether a text is a {@link Digest}. */
export function isDigest(value: unknown): value is Digest {
  return typeof value === "string" && /^(sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40})$/.test(value);
}

/** Whether a revision is a whole commit hash, which always stands for the same files. */
export function isCommitHash(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Bytes read at a time to be hashed. */
const PIECE_BYTES = 2 ** 22;

/** Hashes the first `length` bytes of a file. */
export async function hashFile(
  file: { read(start: number, end: number): Promise<Uint8Array> },
  length: number,
  hashing: Digester,
): Promise<void> {
  for (let at = 0; at < length; at += PIECE_BYTES) {
    hashing.update(await file.read(at, Math.min(at + PIECE_BYTES, length)));
  }
}

/** The digest of a file of `size` bytes, in the way of {@link digester}. */
export async function digestOf(
  file: { read(start: number, end: number): Promise<Uint8Array> },
  size: number,
  expected: Digest | undefined,
  hash: Hash,
): Promise<Digest> {
  const hashing = digester(hash, size, expected);
  await hashFile(file, size, hashing);
  return hashing.result();
}

/** Hashes a file's content to compare it with what it should be. */
export interface Digester {
  update(bytes: Uint8Array): void;
  /** The digest of the content; asked for once. */
  result(): Digest;
}

/**
 * Hashes the content of a file of `size` bytes in the way in which `expected` was computed, by SHA-256 where nothing is.
 * A blob id of git is the SHA-1 of `blob <size>\0` and the content (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
 */
export function digester(hash: Hash, size: number, expected: Digest | undefined): Digester {
  if (!expected?.startsWith("git-sha1:")) {
    const hasher = hash("sha256");
    return { update: (bytes) => hasher.update(bytes), result: () => `sha256:${hasher.hex()}` };
  }
  const blob = hash("sha1");
  const plain = hash("sha1");
  blob.update(new TextEncoder().encode(`blob ${size}\0`));
  return {
    update(bytes) {
      blob.update(bytes);
      plain.update(bytes);
    },
    result() {
      const content: Digest = `git-sha1:${plain.hex()}`;
      // Some mirrors of the hub give the SHA-1 of the content alone, which fixes it as well.
      return content === expected ? content : `git-sha1:${blob.hex()}`;
    },
  };
}
