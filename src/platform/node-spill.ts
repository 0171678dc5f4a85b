import { closeSync, openSync, read as readInto, rmSync, writeSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ByteRange, DataFile } from "../data/files/data-file.ts";
import { fail } from "../util/fail.ts";

const readAt = promisify(readInto);
const PIECE_BYTES = 2 ** 22;

/**
 * Keeps bytes in a temporary file, which has no name any more once it is open: the system takes it away with the process,
 * however that ends.
 * @throws LoraError where there is no room for them
 */
export async function nodeSpill(name: string, pieces: AsyncIterable<Uint8Array>): Promise<DataFile> {
  const folder = await mkdtemp(join(tmpdir(), "webgpu-lora-rows-"));
  const file = openSync(join(folder, "rows"), "wx+");
  rmSync(folder, { recursive: true, force: true });
  let size = 0;
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; ) at += writeSync(file, piece, at);
      size += piece.length;
    }
  } catch (error) {
    closeSync(file);
    const { code } = error as { readonly code?: unknown };
    if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EFBIG") throw error;
    const help = "set TMPDIR to a folder with more room, or give JSON Lines, which are read where they are";
    return fail(name, `no room for its rows in ${tmpdir()}, where they are unpacked to (${code})`, help);
  }
  return {
    name,
    size,
    async *pieces() {
      for (let at = 0; at < size; at += PIECE_BYTES) {
        yield await readRange(file, { start: at, end: Math.min(at + PIECE_BYTES, size) });
      }
    },
    read: (parts) => Promise.all(parts.map((part) => readRange(file, part))),
  };
}

/** Of a file of this process's own, so that all bytes are there. */
async function readRange(file: number, { start, end }: ByteRange): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  for (let at = 0; at < bytes.length; ) {
    at += (await readAt(file, bytes, at, bytes.length - at, start + at)).bytesRead;
  }
  return bytes;
}
