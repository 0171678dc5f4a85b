import { decodeText } from "../../io/files/text.ts";
import { fail } from "../../util/fail.ts";
import { splitLines } from "../../util/lines.ts";

/**
 * The text of UTF-8 bytes in pieces that end neither within a character nor within a line end; the first has the
 * byte-order mark, if there is one.
 * @param label the file, for messages
 * @throws LoraError where it is no UTF-8, naming the line
 */
export async function* textPieces(bytes: AsyncIterable<Uint8Array>, label: string): AsyncGenerator<string> {
  let line = 1;
  let isStart = true;
  let begun: Uint8Array = new Uint8Array();
  const decode = (whole: Uint8Array) => {
    const text = decodeText(whole, label, { line, isStart });
    isStart = false;
    line += countLineEnds(text);
    return text;
  };
  for await (const piece of bytes) {
    const joined = begun.length === 0 ? piece : concat(begun, piece);
    const end = isStart && joined.length < HEAD_BYTES ? 0 : wholeLength(joined);
    if (end > 0) yield decode(joined.subarray(0, end));
    begun = joined.subarray(end);
  }
  if (begun.length > 0) yield decode(begun);
}

/** The first piece tells what a file is: it has as much of it as that takes. */
const HEAD_BYTES = 4096;

/** Bytes one behind another. */
export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

const RETURN = 0x0d;

/** Length of the bytes without the character at their end that goes on, and without `\r`, which `\n` may follow. */
function wholeLength(bytes: Uint8Array): number {
  const { length } = bytes;
  if (bytes[length - 1] === RETURN) return length - 1;
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = bytes[length - back] as number;
    if (byte >> 6 === 2) continue;
    const bytesOfCharacter = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return bytesOfCharacter > back ? length - back : length;
  }
  return length;
}

function countLineEnds(text: string): number {
  let count = 0;
  for (const _ of text.matchAll(/\r\n?|\n/g)) count++;
  return count;
}

/** Characters of one row: a library of books has less in one. */
export const MAX_ROW_CHARACTERS = 2 ** 26;

/** Puts the lines of a text together that comes in pieces. */
export class LineJoiner {
  readonly #label: string;
  #begun: string[] = [];
  #length = 0;
  #line = 1;

  constructor(label: string) {
    this.#label = label;
  }

  /**
   * The lines that end in this piece, with their ends.
   * @throws LoraError where a line is longer than a row of data can be
   */
  *push(piece: string): Generator<string> {
    for (const part of splitLines(piece)) {
      const isWhole = /[\r\n]$/.test(part);
      if (this.#begun.length === 0 && isWhole) {
        this.#line++;
        yield part;
        continue;
      }
      this.#begun.push(part);
      this.#length += part.length;
      if (this.#length > MAX_ROW_CHARACTERS) failTooLong(`${this.#label}:${this.#line}`);
      if (isWhole) yield* this.end();
    }
  }

  /** The line that nothing ends. */
  *end(): Generator<string> {
    if (this.#begun.length === 0) return;
    this.#line++;
    yield this.#begun.join("");
    this.#begun = [];
    this.#length = 0;
  }
}

/** @throws LoraError in any case */
export function failTooLong(where: string): never {
  const what = `has a row of more than ${MAX_ROW_CHARACTERS} characters`;
  return fail(where, what, "write each row on a line of its own, and split what is so long");
}
