import type { ByteCache, CacheEntry } from "../io/files/byte-cache.ts";
import type { FileSource } from "../io/files/files.ts";
import { hubFiles, urlFiles } from "../io/files/hub.ts";
import { parseModelReference, settleRevision } from "../io/files/reference.ts";
import type { RemoteOptions } from "../io/files/remote.ts";
import { concatBytes } from "../util/bytes.ts";
import { LoraError } from "../util/fail.ts";
import { webHash } from "./web-hash.ts";

/** The folder of downloads in the storage of a site: contents, in folders, and notes about them. */
export const DOWNLOADS = "webgpu-lora";
/** What the name of a note ends with, behind that of what it is about. */
export const NOTE = ".note";

/**
 * A download cache in the browser's origin-private file system.
 * An entry is a folder of pieces named by their offset: appending to one large file would copy it every time. A piece
 * appears whole or not at all, so two tabs need no lock. `root` is given by tests only.
 */
export function opfsByteCache(root?: Promise<FileSystemDirectoryHandle>): ByteCache {
  return {
    open: async (key) => {
      const top = await (root ?? navigator.storage.getDirectory());
      const cache = await top.getDirectoryHandle(DOWNLOADS, { create: true });
      return folderEntry(cache, await sha256(key));
    },
    recall: async (key) => {
      const file = await noteFile(root, key).catch(ignoreMissing);
      return file && (await (await file.getFile()).text());
    },
    remember: async (key, note) => {
      const file = await noteFile(root, key, { create: true });
      const writable = await file.createWritable(); // shows when it is closed, whole
      await writable.write(note);
      await writable.close();
    },
  };
}

/** The cache of this page, or nothing where it has no storage: in Deno, in some private windows, on an insecure address. */
async function webByteCache(): Promise<ByteCache | undefined> {
  try {
    if (!("createWritable" in FileSystemFileHandle.prototype)) return undefined; // Safari before 26
    const root = await navigator.storage.getDirectory();
    return opfsByteCache(Promise.resolve(root));
  } catch {
    return undefined;
  }
}

async function noteFile(
  root: Promise<FileSystemDirectoryHandle> | undefined,
  key: string,
  options?: FileSystemGetFileOptions,
): Promise<FileSystemFileHandle> {
  const top = await (root ?? navigator.storage.getDirectory());
  const cache = await top.getDirectoryHandle(DOWNLOADS, { create: true });
  return cache.getFileHandle(`${await sha256(key)}${NOTE}`, options);
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Bytes of a file that lie in one piece. */
export interface Piece {
  readonly offset: number;
  readonly end: number;
  readonly file: File;
}

function folderEntry(cache: FileSystemDirectoryHandle, name: string): CacheEntry {
  const folder = () => cache.getDirectoryHandle(name, { create: true });
  // Listed once: looking at every piece for every read would take longer than the reading.
  let known: Promise<Piece[]> | undefined;
  const pieces = () => {
    known ??= folder().then(readPieces);
    return known;
  };
  return {
    length: async () => coveredLength(await pieces()),
    async write(offset, bytes) {
      const before = await pieces();
      const file = await writePiece(await folder(), offset, bytes);
      const others = before.filter((piece) => piece.offset !== offset);
      known = Promise.resolve(sorted([...others, { offset, end: offset + file.size, file }]));
    },
    async read(start, end) {
      const range = await readRange(await pieces(), start, end).catch(() => undefined);
      if (range) return range;
      known = undefined; // another tab wrote a piece anew, which makes the former file unreadable
      return readRange(await pieces(), start, end);
    },
    async stamp() {
      const all = await pieces();
      const latest = all.reduce((time, { file }) => Math.max(time, file.lastModified), 0);
      return `${coveredLength(all)} ${all.length} ${latest}`;
    },
    async discard() {
      known = undefined;
      await cache.removeEntry(name, { recursive: true }).catch(ignoreMissing);
    },
  };
}

/** All pieces by their offset. */
export async function readPieces(folder: FileSystemDirectoryHandle): Promise<Piece[]> {
  const files: Promise<File>[] = [];
  for await (const handle of folder.values()) {
    if (handle.kind === "file" && /^\d+$/.test(handle.name)) files.push(handle.getFile());
  }
  const pieces = (await Promise.all(files)).map((file) => {
    const offset = Number(file.name);
    return { offset, end: offset + file.size, file };
  });
  return sorted(pieces);
}

function sorted(pieces: readonly Piece[]): Piece[] {
  return pieces.toSorted((a, b) => a.offset - b.offset);
}

/** Bytes without a gap from the start. Pieces may overlap where two tabs download the same file. */
export function coveredLength(pieces: readonly Piece[]): number {
  return pieces.reduce(
    (covered, { offset, end }) => (offset <= covered ? Math.max(covered, end) : covered),
    0,
  );
}

async function readRange(pieces: readonly Piece[], start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  for (const { offset, end: pieceEnd, file } of pieces) {
    const from = Math.max(start, offset);
    const to = Math.min(end, pieceEnd);
    if (from >= to) continue;
    const part = await file.slice(from - offset, to - offset).arrayBuffer();
    bytes.set(new Uint8Array(part), from - start);
  }
  return bytes;
}

async function writePiece(
  folder: FileSystemDirectoryHandle,
  offset: number,
  bytes: Uint8Array,
): Promise<File> {
  const handle = await folder.getFileHandle(String(offset), { create: true });
  const writable = await handle.createWritable();
  try {
    await writable.write(concatBytes([bytes]));
    await writable.close();
    return await handle.getFile();
  } catch (error) {
    await writable.abort().catch(() => {});
    throw explainQuota(error);
  }
}

function explainQuota(error: unknown): unknown {
  if (!(error instanceof DOMException) || error.name !== "QuotaExceededError") return error;
  const help = "free disk space, clear this site's data, or load the model with { cache: false }";
  return new LoraError("input", "opfsByteCache", "the browser's storage for this site is full", help);
}

/** Passes on what fails, unless it is that something is not there. */
export function ignoreMissing(error: unknown): undefined {
  if (!(error instanceof DOMException) || error.name !== "NotFoundError") throw error;
}

/** Options of {@link resolveModelFiles}. */
export interface ResolveOptions extends Omit<RemoteOptions, "cache" | "hash" | "seesRedirects"> {
  /** Branch, tag or commit of a hub repository. */
  readonly revision?: string | undefined;
  readonly endpoint?: string | undefined;
  /** {@link webByteCache} by default. */
  readonly cache?: ByteCache | boolean | undefined;
  /** Address that relative ones (`./models/demo`) are resolved against; the page's own by default. */
  readonly base?: string | undefined;
}

/**
 * The files that a model reference names: an address, relative to the page where it begins with `.` or `/`, or a hub
 * id `owner/name[@revision]`. The token goes to the hub alone.
 */
export async function resolveModelFiles(
  reference: string,
  { base = globalThis.location?.href, token, cache = true, ...options }: ResolveOptions = {},
): Promise<FileSource> {
  const kept = typeof cache === "boolean" ? await ownCache(cache) : cache;
  const remote = { ...options, hash: webHash, cache: kept };
  const parsed = parseModelReference(reference);
  if (parsed.kind === "url") return urlFiles({ ...remote, url: parsed.url });
  if (parsed.kind === "folder") return urlFiles({ ...remote, url: new URL(parsed.path, base).href });
  const hub = { repo: parsed.repo, revision: settleRevision(parsed, options.revision) };
  return { ...hubFiles({ ...remote, ...hub, token }), hub };
}

async function ownCache(isWanted: boolean): Promise<ByteCache | undefined> {
  return isWanted ? webByteCache() : undefined;
}
