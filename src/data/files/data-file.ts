/** The bytes of one file of data, in order or by parts. */
export interface DataFile {
  /** What messages call it; its ending says what a text is. */
  readonly name: string;
  /** Length in bytes; undefined for a pipe, which is read once and in order only. */
  readonly size: number | undefined;
  /** All bytes from the first on, in pieces of any length. */
  pieces(): AsyncIterable<Uint8Array>;
  /**
   * The bytes of parts, which lie inside the file.
   * @throws LoraError where the file has changed since it was opened
   */
  read(parts: readonly ByteRange[]): Promise<Uint8Array[]>;
}

/** The bytes from `start` until before `end`. */
export interface ByteRange {
  /** The first byte, from 0. */
  readonly start: number;
  /** The byte behind the last one. */
  readonly end: number;
}

/** A file that a page was given, or bytes in memory. */
export function blobFile(name: string, blob: Blob): DataFile {
  return {
    name,
    size: blob.size,
    pieces: () => blobPieces(blob),
    read: (parts) =>
      Promise.all(
        parts.map(async ({ start, end }) => new Uint8Array(await blob.slice(start, end).arrayBuffer())),
      ),
  };
}

const PIECE_BYTES = 2 ** 20;

async function* blobPieces(blob: Blob): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < blob.size; at += PIECE_BYTES) {
    yield new Uint8Array(await blob.slice(at, at + PIECE_BYTES).arrayBuffer());
  }
}

/** Keeps bytes in a Blob, which browsers put on disk where it is large. */
export async function blobSpill(name: string, pieces: AsyncIterable<Uint8Array>): Promise<DataFile> {
  const parts: Blob[] = [];
  for await (const piece of pieces) parts.push(new Blob([piece as BlobPart]));
  return blobFile(name, new Blob(parts));
}
