import { closeSync, openSync, readSync } from "node:fs";
import { basename, dirname } from "node:path";
import { readText } from "../io/files/files.ts";
import { decodeText } from "../io/files/text.ts";
import { fail } from "../util/fail.ts";
import { splitLines } from "../util/lines.ts";
import { folderFiles } from "./node-files.ts";

/** A whole UTF-8 file. @throws LoraError where it is missing, is no UTF-8 or has more than `limit` bytes. */
export function readTextFile(path: string, limit?: number): Promise<string> {
  return readText(folderFiles(dirname(path)), basename(path), limit);
}

const BLOCK_BYTES = 2 ** 22;
/** Bytes of one row: a library of books has less in one. */
const MAX_ROW_BYTES = 2 ** 26;
const NEWLINE = 0x0a;

/**
 * The lines of a UTF-8 file of any size with their ends, read block by block; the first has the byte-order mark, if
 * there is one. A pipe will do, too.
 * @throws LoraError where it is no UTF-8, or a line is longer than a row of data can be
 */
export function* fileLines(path: string): Generator<string> {
  let line = 1;
  const refuse = (length: number) => {
    const size = `has ${length} bytes or more without a line end; a row may have ${MAX_ROW_BYTES}`;
    fail(`${path}:${line}`, size, "write one row a line");
  };
  for (const bytes of wholeLines(path, refuse)) {
    for (const text of splitLines(decodeText(bytes, path, line))) {
      yield text;
      line++;
    }
  }
}

/**
 * The bytes of a file in pieces that end with a newline, except the last one.
 * @param refuse throws; told how much is there of a line that is too long
 */
function* wholeLines(path: string, refuse: (length: number) => void): Generator<Uint8Array> {
  const file = openSync(path, "r");
  try {
    let begun: Buffer[] = [];
    for (;;) {
      const block = Buffer.allocUnsafe(BLOCK_BYTES);
      const length = readSync(file, block);
      const read = block.subarray(0, length);
      const end = read.lastIndexOf(NEWLINE) + 1;
      if (end > 0) {
        yield Buffer.concat([...begun, read.subarray(0, end)]);
        begun = [];
      }
      if (length > end) begun.push(read.subarray(end));
      if (total(begun) > MAX_ROW_BYTES) refuse(total(begun));
      if (length === 0) break;
    }
    if (begun.length > 0) yield Buffer.concat(begun);
  } finally {
    closeSync(file);
  }
}

function total(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}
