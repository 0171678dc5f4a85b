import { open, stat } from "node:fs/promises";
import type { DataFile } from "../data/files/data-file.ts";
import { fail } from "../util/fail.ts";
import { readRanges } from "./node-files.ts";

const PIECE_BYTES = 2 ** 22;

/** A file of data on disk, or a pipe. @throws LoraError where there is none */
export async function nodeDataFile(path: string): Promise<DataFile> {
  const found = await stat(path).catch(() => fail(path, "no such file", "check the path"));
  return {
    name: path,
    size: found.isFile() ? found.size : undefined,
    pieces: () => filePieces(path),
    read: (parts) => readRanges(path, parts, found),
  };
}

async function* filePieces(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, "r");
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(PIECE_BYTES));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
