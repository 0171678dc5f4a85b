import { fail } from "../../util/fail.ts";
import { splitLines } from "../../util/lines.ts";
import { foreignFile, recode } from "./foreign.ts";

/**
 * The text of UTF-8 bytes, with a byte-order mark if there is one.
 * @param path the file, for messages
 * @param begin the line of the file with which the bytes begin, and whether they are its first
 * @throws LoraError where they are something else: says what, or which byte on which line is no UTF-8
 */
export function decodeText(
  bytes: Uint8Array,
  path: string,
  { line, isStart }: { readonly line: number; readonly isStart: boolean } = { line: 1, isStart: true },
): string {
  const foreign = isStart ? foreignFile(bytes, path) : undefined;
  if (foreign) fail(path, foreign.what, foreign.help);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return failNoUtf8(bytes, path, line);
  }
}

function failNoUtf8(bytes: Uint8Array, path: string, line: number): never {
  const { text, offset } = validStart(bytes);
  const ends = [...splitLines(text)].filter((part) => /[\r\n]$/.test(part)).length;
  const where = `${path}:${line + ends}`;
  const first = bytes[offset] as number;
  if (
    first >= 0xc2 &&
    offset + 4 > bytes.length &&
    bytes.subarray(offset + 1).every((byte) => byte >> 6 === 2)
  ) {
    fail(where, "ends in the middle of a character: the file is cut off", "download or copy it again");
  }
  const byte = `0x${first.toString(16)}`;
  const help = `for Windows-1252 or Latin-1, which it may be: ${recode(path, "WINDOWS-1252")}`;
  return fail(where, `is not UTF-8 text: the byte ${byte} is not allowed there`, help);
}

/** The text before the first byte that is no UTF-8, and where that is. */
function validStart(bytes: Uint8Array): { text: string; offset: number } {
  const lossy = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let at = -1;
  for (;;) {
    at = lossy.indexOf("\uFFFD", at + 1);
    const text = lossy.slice(0, at);
    const offset = new TextEncoder().encode(text).length;
    const isReal = bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd;
    if (!isReal) return { text, offset };
  }
}
